"""Strandline's publisher: sightings of the last seven days become feeds on a website."""
