"""What can go wrong in a run, beside the configuration (see ..shared.settings)."""

from __future__ import annotations


class SourceError(Exception):
    """The sightings of a category can't be read."""


class SourceUnavailableError(SourceError):
    """No sightings can be read at all: the database is down or refuses us. Trying again later may help."""


class RefusedError(Exception):
    """What was compiled is not plausible enough to replace what is published."""
