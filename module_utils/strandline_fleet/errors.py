"""What can go wrong in a way that the operator understands."""


class Refusal(Exception):
    """Nothing was changed. The text is one clear sentence with its remedy."""
