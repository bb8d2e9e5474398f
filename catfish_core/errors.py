"""What can go wrong, said in one sentence, with the way out in a second.

CatfishError
├── ConfigError      a configuration that cannot be meant: the field, the value, what is allowed
├── DatasetError     a dataset that is missing, empty, damaged or unsafe
│   └── DownloadError    it could not be fetched
├── PhotoError       one picture that cannot be read
├── ModelError       an architecture or saved model that cannot be used
│   └── WeightsError     pretrained weights that are not here and cannot be fetched
├── RunError         a run that is missing, damaged or in the wrong state
├── StorageError     the disk: full, read-only, forbidden
├── AccessError      somebody may not do this
│   └── SignedOut        nobody is signed in who could be asked
└── ServiceError     the inference service did not answer
"""

from __future__ import annotations

import errno
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What torch's unpickler without code and load_state_dict raise for a file that is torn, foreign or dangerous.
UNREADABLE_TENSORS: tuple[type[Exception], ...] = (
    pickle.UnpicklingError, RuntimeError, LookupError, AttributeError, TypeError, ValueError, EOFError,
)  # fmt: skip


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` is Python's, torch's or a graphics card's way to say that memory ran out."""
    said = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's: no import for it
    return said or "out of memory" in str(error) or "can't allocate memory" in str(error)


def disk_full(error: BaseException) -> bool:
    """Whether `error` is the system's way to say that the disk, or somebody's share of it, takes no more."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class CatfishError(Exception):
    """A fault a person can understand: `what` happened, and the `hint` that leads out of it."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what, hint)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what} {self.hint}".strip()


class ConfigError(CatfishError):
    """A configuration that cannot be meant."""


class DatasetError(CatfishError):
    """A dataset that is missing, empty, damaged or unsafe."""


class DownloadError(DatasetError):
    """Something that could not be fetched."""


class PhotoError(CatfishError):
    """One picture that cannot be read."""


class ModelError(CatfishError):
    """An architecture or a saved model that cannot be used."""


class WeightsError(ModelError):
    """Pretrained weights that are not here and cannot be fetched."""


class TrainingError(CatfishError):
    """Training that cannot go on."""


class RunError(CatfishError):
    """A run that is missing, damaged or in the wrong state."""


class StorageError(CatfishError):
    """The disk is full, read-only or closed to us."""


class AccessError(CatfishError):
    """Somebody may not do this."""


class SignedOut(AccessError):
    """Nobody is signed in, or no longer."""


class ServiceError(CatfishError):
    """The inference service did not answer."""


@contextmanager
def storage_faults(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write `path` into a sentence; other OSErrors pass through."""
    try:
        yield
    except OSError as error:
        if disk_full(error):
            raise StorageError(
                f"The disk is full: {path.name} could not be written.",
                "Free some space (the Runs page can delete old runs) and try again; what was saved before is intact.",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StorageError(
                f"CatFish may not write to {path.parent}.",
                "Change its permissions, or set CATFISH_HOME to a folder that you own.",
            ) from error
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise StorageError(
                f"{path.name} could not be written: its folder {path.parent} is not there.",
                "If it was moved or deleted, put it back; or set CATFISH_HOME to another folder.",
            ) from error
        raise
