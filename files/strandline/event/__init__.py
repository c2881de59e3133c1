"""What the programs agree on: the line of an event, and which events count for which feed."""
