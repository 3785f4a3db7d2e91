"""Every error pawprint raises on purpose. Imports no other room.

```
PawprintError
├── SourceError          photos that cannot be used as a dataset: missing, empty, one class
│   ├── ArchiveError     an archive that is damaged, encrypted or not safe to read
│   └── DownloadError    a download that failed, or is not the file it should be
├── PhotoError           one photo that cannot be used (its `path` and `reason`)
│   ├── EmptyPhoto       no bytes at all
│   ├── NotAPhoto        bytes that are no image, or not one of the formats read here
│   ├── DamagedPhoto     an image that breaks off or cannot be decoded
│   └── TooManyPixels    more pixels than the cap; not decoded at all
├── RecipeError          a recipe with faults, all of them listed
├── WeightsError         pretrained weights that are not to be had
├── BundleError          a bundle that is missing, damaged, changed or from a later version
├── OutputError          a place that cannot be written, or that would be overwritten
├── MissingExtra         a part of pawprint that is not installed
└── RunError             a run's folder that is none, not whole or malformed
```

A message says what happened, what was expected and what to do, and names the file. The command
line prints it as one line, the faults of a recipe as a line each, and ends with the error's
`exit_code`.
"""

from collections.abc import Iterable


class PawprintError(Exception):
    """Anything pawprint can explain; the base of all its errors."""

    exit_code = 1


class SourceError(PawprintError):
    """The photos cannot be used as a dataset."""


class ArchiveError(SourceError):
    """The archive is damaged, encrypted or not safe to read."""


class DownloadError(SourceError):
    """The download failed, or is not the file it should be."""


class PhotoError(PawprintError):
    """One photo cannot be used.

    Args:
        path: the photo as the user knows it.
        reason: what is wrong with it, without the path.

    Attributes:
        kind: of finding that it is, in one word.
    """

    kind = "unreadable"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class EmptyPhoto(PhotoError):
    """The file has no bytes."""

    kind = "empty"


class NotAPhoto(PhotoError):
    """The bytes are no image in a format that pawprint reads."""

    kind = "not-an-image"


class DamagedPhoto(PhotoError):
    """The image breaks off early or cannot be decoded."""


class TooManyPixels(PhotoError):
    """The image has more pixels than the cap."""

    kind = "too-large"


class RecipeError(PawprintError):
    """The recipe has faults.

    Args:
        message: what is wrong; with `faults`, which recipe they are in.
        faults: each with its line.
    """

    def __init__(self, message: str, faults: Iterable[str] = ()) -> None:
        self.faults = tuple(faults)
        several = len(self.faults) > 1
        self.heading = f"{message} has {len(self.faults)} faults:" if several else message
        super().__init__(" ".join([self.heading, "; ".join(self.faults)]).strip())


class WeightsError(PawprintError):
    """The pretrained weights are not to be had."""

    exit_code = 4


class BundleError(PawprintError):
    """The bundle cannot be trusted or opened."""


class OutputError(PawprintError):
    """The output cannot be written, or would replace something."""


class MissingExtra(PawprintError):
    """A part of pawprint that this command needs is not installed.

    Args:
        need: what cannot be done without it.
        package: what is not installed.
        extra: of pawprint, that brings it.
    """

    def __init__(self, need: str, package: object, extra: str) -> None:
        super().__init__(
            f"{need} needs {package}, which is not installed; in pawprint's own folder run "
            f"pip install '.[{extra}]'"
        )


class RunError(PawprintError):
    """The folder is no run, or not one that can be read."""
