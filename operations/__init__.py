"""Day-2 operations on a stack: `python -m operations …`."""
