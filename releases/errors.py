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
    """An image of a release can't be named as the settings say.

    Parameters
    ----------
    why
        What is wrong, with the image's name.
    mend
        What to do about it.
    setting
        Key of `imageRepository` that it is about.
    """

    def __init__(self, why: str, mend: str, *, setting: str = "digests") -> None:
        self.setting: Final = setting
        super().__init__(why, mend)


class BrokenBundleError(ReleaseError):
    """A file is no bundle, or not the whole of one."""


def file_problem(error: OSError) -> tuple[str, str, str]:
    """Tell which file can't be read or written, why, and what to do about it.

    Parameters
    ----------
    error
        What the system said.
    """
    return (
        str(error.filename2 or error.filename or "a file"),
        f"it can't be read or written ({error.strerror or error})",
        "correct what stands there or above it, or its permissions",
    )


def file_error(error: OSError) -> ReleaseError:
    """Tell of a file that can't be read or written.

    Parameters
    ----------
    error
        What the system said.
    """
    file, why, mend = file_problem(error)
    return ReleaseError(f"{file}: {why}", mend)
