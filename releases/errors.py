"""What can go wrong with a release's manifest."""

from __future__ import annotations

from typing import Final


class ReleaseError(Exception):
    """A release's manifest can't be used.

    Parameters
    ----------
    why
        What is wrong, with the release's name.
    mend
        What to do about it.
    """

    def __init__(self, why: str, mend: str) -> None:
        self.why: Final = why
        self.mend: Final = mend
        super().__init__(f"{why}; {mend}")


class ImageError(ReleaseError):
    """An image of a release can't be named as the settings say."""


class BrokenBundleError(ReleaseError):
    """A file is no bundle, or not the whole of one."""
