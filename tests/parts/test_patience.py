"""What is tried again, and what is not."""

from __future__ import annotations

import errno

import pytest

from pawprint.parts.patience import another_day, may_pass, patiently


class Work:
    """Fails with each error in turn, then gives an answer."""

    def __init__(self, *errors: OSError) -> None:
        self.errors = list(errors)
        self.tries = 0

    def __call__(self) -> str:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_what_passes_at_the_second_try_has_not_failed() -> None:
    work = Work(ConnectionError("reset"))
    assert (patiently(work), work.tries) == ("done", 2)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(),
        FileExistsError(),
        PermissionError(),
        IsADirectoryError(),
        NotADirectoryError(),
        OSError(errno.ENOSPC, "no space left on device"),
        OSError(errno.EROFS, "read-only file system"),
        OSError(errno.EFBIG, "file too large"),
        OSError(errno.ELOOP, "too many levels of symbolic links"),
        OSError("AWS Error ACCESS_DENIED during GetObject operation"),
        OSError("AWS Error NO_SUCH_BUCKET during PutObject operation"),
    ],
    ids=repr,
)
def test_what_will_not_pass_is_tried_once(error: OSError) -> None:
    work = Work(error)
    with pytest.raises(OSError) as raised:  # noqa: PT011 - this very error, below
        patiently(work)
    assert (raised.value, work.tries) == (error, 1)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "input/output error"),
        OSError(errno.ESTALE, "stale file handle"),
        TimeoutError(),
        OSError("AWS Error SLOW_DOWN during GetObject operation"),
    ],
    ids=repr,
)
def test_what_may_pass_is_told_from_what_will_not(error: OSError) -> None:
    assert may_pass(error)


@pytest.mark.parametrize(
    ("error", "meant"),
    [
        (FileNotFoundError(), False),
        (IsADirectoryError(), False),
        (NotADirectoryError(), False),
        (OSError(errno.ELOOP, "too many levels of symbolic links"), False),
        (OSError(errno.ENAMETOOLONG, "file name too long"), False),
        (PermissionError(), True),
        (OSError(errno.EIO, "input/output error"), True),
        (OSError("AWS Error ACCESS_DENIED during GetObject operation"), True),
        (OSError("AWS Error NO_SUCH_BUCKET during GetObject operation"), True),
        (TimeoutError(), True),
    ],
    ids=repr,
)
def test_another_day_is_for_what_somebody_can_mend(error: OSError, meant: bool) -> None:
    assert another_day(error) == meant


def test_only_failures_of_a_system_are_tried_again() -> None:
    tries = []

    def work() -> None:
        tries.append(1)
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        patiently(work)
    assert tries == [1]
