"""The error that the embedded environment reports to a person."""


class LocalError(Exception):
    """Something a person can mend; its text is one line that says what, why and how to mend it."""
