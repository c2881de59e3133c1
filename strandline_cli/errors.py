"""What can go wrong in a way that the operator understands."""

from strandline_fleet.errors import Refusal

__all__ = ["Refusal", "StepFailed"]


class StepFailed(Exception):
    """A step failed, and its progress line and the tail of its log have been shown already."""
