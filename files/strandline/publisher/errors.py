"""Errors that an operator reads: what is wrong, where, and what to do about it."""

from __future__ import annotations


class ConfigurationError(Exception):
    """A file that the operator wrote can't be used. The message names the file, the place in it and the remedy."""

    def __init__(self, where: str, problem: str, remedy: str) -> None:
        self.where = where
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{where}: {problem}. {remedy}.")


class SourceError(Exception):
    """The sightings of a category can't be read."""


class SourceUnavailableError(SourceError):
    """No sightings can be read at all: the database is down or refuses us. Trying again later may help."""


class RefusedError(Exception):
    """What was compiled is not plausible enough to replace what is published."""
