"""The error that an operation reports to a person."""


class OperationError(Exception):
    """Why an operation stopped; one line that says what, why and how to go on."""
