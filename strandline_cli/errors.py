"""What can go wrong in a way that the operator understands."""


class Refusal(Exception):
    """Nothing was changed. The text is one clear sentence with its remedy."""


class StepFailed(Exception):
    """A step failed, and its progress line and the tail of its log have been shown already."""
