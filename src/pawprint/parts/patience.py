"""What fails now and then is tried again. Knows no file systems."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

WAITS = (0.2, 1.0, 4.0)  # seconds before the second, third and fourth try
_FOR_GOOD = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
_FOR_GOOD_NUMBERS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EFBIG,
    errno.ENAMETOOLONG,
    errno.ELOOP,
}
_FOR_GOOD_WORDS = ("ACCESS_DENIED", "NO_SUCH_BUCKET", "PERMISSION_DENIED")


def patiently(work: Callable[[], Result]) -> Result:
    """Do something, again and again where it fails in a way that may pass.

    >>> patiently(lambda: 42)
    42

    Args:
        work: may be done several times.

    Raises:
        OSError: the last failure, or the first that will not pass.
    """
    for wait in WAITS:
        try:
            return work()
        except OSError as error:
            if not may_pass(error):
                raise
        time.sleep(wait * random.uniform(0.5, 1.5))  # not all at once
    return work()


def another_day(error: OSError) -> bool:
    """Whether it may go well some other time, once somebody has mended something.

    >>> another_day(FileNotFoundError()), another_day(PermissionError())
    (False, True)
    """
    gone = (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError)
    return not isinstance(error, gone) and error.errno not in (errno.ENAMETOOLONG, errno.ELOOP)


def may_pass(error: OSError) -> bool:
    """Whether another try may go well.

    >>> may_pass(FileNotFoundError()), may_pass(ConnectionError())
    (False, True)
    """
    told = str(error)  # stores' errors have no numbers
    return (
        not isinstance(error, _FOR_GOOD)
        and error.errno not in _FOR_GOOD_NUMBERS
        and not any(word in told for word in _FOR_GOOD_WORDS)
    )
