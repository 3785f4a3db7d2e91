"""A function run in a fresh Python process: nothing that this one has imported or set is in it.

With `Limits` it also has little to do harm with, for work on files that nobody vouches for:

```
                                         Linux   macOS   Windows
a process of its own, own folder as
  home and for temporary files, few
  environment variables, wall clock      yes     yes     yes
processor time, open files, size of
  a file written, no core dumps          yes     yes     no
memory                                   yes     no      no
ends with the process that began it,
  gains no privileges by programs        yes     no      no
no network                               mostly  no      no
```

The network is taken away where the kernel lets an ordinary user have a namespace of their own; some
containers and distributions do not. What was in force is in `GUARDS`. It is no sandbox against
reading: the process sees the files that its user may read.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pawprint.errors import PawprintError

GUARDS: list[str] = []  # in a process with limits: those that are in force

_LAST_LINES = 3  # of a child's error output that are told,
_LAST_BYTES = 4096  # and of how much of its end
_MOST_ANSWER = 64 * 2**20  # bytes of JSON
_POLL = 0.02  # seconds
_KEPT = (
    *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV"),
    *("SYSTEMROOT", "PYTHONUTF8", "PYTHONWARNINGS"),
)
# Of Linux' headers: linux/sched.h and linux/prctl.h.
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


@dataclass(frozen=True)
class Limits:
    """What a process may use.

    Args:
        seconds: until it is ended,
        cpu_seconds: of processor time, of all its threads together,
        memory: bytes that it may write to, beside files,
        file_bytes: of each file that it writes,
        open_files: at a time.
    """

    seconds: float = 600.0
    cpu_seconds: int = 600
    memory: int = 8 * 2**30
    file_bytes: int = 2 * 2**30
    open_files: int = 256


def run(
    entry: str,
    asked: Mapping[str, Any],
    *,
    what: str,
    limits: Limits | None = None,
    place: Path | None = None,
) -> Any:
    """Run a function in a fresh process.

    >>> run("json:dumps", {"obj": [1, 2]}, what="a test")
    '[1, 2]'

    Args:
        entry: `module:function`, which takes keyword arguments and gives what JSON can say.
        asked: the arguments, of what JSON can say.
        what: what it does, for errors.
        limits: what it may use; by default all that this process may.
        place: with limits, the folder it works in, which is also its home; by default one of its
            own, that is gone afterwards.

    Returns:
        What the function gave.

    Raises:
        PawprintError: it raised one, with its message; or it ended in another way, or was ended
            for what it used.
    """
    with tempfile.TemporaryDirectory(prefix="pawprint-") as own:
        answer, errors = Path(own) / "answer.json", Path(own) / "errors"
        home = None if limits is None else (place or _made(Path(own) / "home"))
        told = json.dumps({"asked": dict(asked), "limits": limits and asdict(limits)})
        # -P: no modules of the folder that it is typed in.
        command = [sys.executable, "-P", "-m", "pawprint.isolation"]
        with errors.open("wb") as said:
            process = subprocess.Popen(
                [*command, entry, os.fspath(answer)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=_environment(home),
                cwd=home,
                start_new_session=limits is not None,
            )
            late = _wait(process, told.encode(), limits)
        found = None if late else _read(answer)
        if found is None:
            why = _why(process.returncode, errors, limits, late)
            raise PawprintError(f"{what} failed: {why}")
    if "error" in found:
        raise PawprintError(f"{what} failed: {found['error']}")
    return found["given"]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _environment(home: Path | None) -> dict[str, str]:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    if home is None:
        return {**os.environ, **quiet}
    place = os.fspath(home)
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    homes = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME"), place)
    # Packages of the user's own are found by their home, which this process has not.
    base = {"PYTHONUSERBASE": site.getuserbase(), "KERAS_HOME": os.path.join(place, ".keras")}
    return {**kept, **homes, **base, **quiet, "CUDA_VISIBLE_DEVICES": "-1"}


def _wait(process: subprocess.Popen[bytes], told: bytes, limits: Limits | None) -> bool:
    """Wait for a process to end; whether it had to be ended. None outlives this."""
    end = time.monotonic() + limits.seconds if limits else None
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            process.stdin.write(told)
            process.stdin.close()
        if end is None:
            process.wait()
            return False
        while process.poll() is None and time.monotonic() < end:
            time.sleep(_POLL)
        return process.poll() is None
    finally:
        if limits is not None and hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # and whatever it began
        if process.poll() is None:
            process.kill()
        process.wait()


def _read(answer: Path) -> dict[str, Any] | None:
    if answer.is_symlink() or not answer.is_file():
        return None
    try:
        with answer.open("rb") as file:
            text = file.read(_MOST_ANSWER + 1)
        found = json.loads(text) if len(text) <= _MOST_ANSWER else None
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and {"given", "error"} & set(found) else None


def _why(code: int, errors: Path, limits: Limits | None, late: bool) -> str:
    """Why a process gave nothing, in a few words."""
    if limits is not None and late:
        return f"it took longer than {limits.seconds:g} seconds and was ended"
    with errors.open("rb") as file:
        file.seek(max(0, errors.stat().st_size - _LAST_BYTES))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()[-_LAST_LINES:]
    said = " / ".join(lines)
    if limits is not None:
        if code == -getattr(signal, "SIGXCPU", 0):
            return f"it took more than {limits.cpu_seconds} seconds of processor time"
        if any(sign in said for sign in ("MemoryError", "bad_alloc", "OOM", "Cannot allocate")):
            return f"it needs more than the {limits.memory / 2**30:.1f} GiB of memory that it has"
    return f"its process ended with code {code} ({said or 'silent'})"


# In the fresh process


def _main(entry: str, answer: str) -> None:
    """Be the fresh process."""
    module, _, name = entry.partition(":")
    told = json.loads(sys.stdin.buffer.read())
    if told["limits"] is not None:
        _confine(Limits(**told["limits"]))
    try:
        found = {"given": getattr(importlib.import_module(module), name)(**told["asked"])}
    except PawprintError as error:
        found = {"error": str(error)}
    Path(answer).write_text(json.dumps(found), "utf-8")


def _confine(limits: Limits) -> None:
    """Give up what is not needed, before anything else is imported."""
    # The function's module may look here under the name that it knows.
    guards = importlib.import_module("pawprint.isolation").GUARDS
    for name, guard in _GUARDS.items():
        with contextlib.suppress(OSError, ValueError, ImportError, AttributeError):
            guard(limits)
            guards.append(name)


def _limit(name: str, most: int) -> None:
    import resource

    which = getattr(resource, f"RLIMIT_{name}")
    hard = resource.getrlimit(which)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


def _limit_memory(limits: Limits) -> None:
    if sys.platform == "darwin":
        raise OSError("macOS takes this limit and does not keep to it")
    # Not the address space, of which TensorFlow reserves far more than it uses.
    _limit("DATA", limits.memory)


def _limit_cpu(limits: Limits) -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or hard > limits.cpu_seconds:
        # First a signal that tells why, and soon after one that ends it.
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))


def _control(option: int, value: int) -> None:
    """Ask Linux for something for this process; `man 2 prctl`."""
    if not sys.platform.startswith("linux"):
        raise OSError("only Linux has this")
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _leave_network(_: Limits) -> None:
    """Move to a network with nothing in it, as a user of one's own; `man 7 user_namespaces`."""
    if not sys.platform.startswith("linux"):
        raise OSError("only Linux has this")
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    with contextlib.suppress(OSError):  # to have the same number as before; nothing hangs on it
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


_GUARDS: dict[str, Callable[[Limits], None]] = {
    "no network": _leave_network,
    "no new privileges": lambda _: _control(_PR_SET_NO_NEW_PRIVS, 1),
    "ends with its parent": lambda _: _control(_PR_SET_PDEATHSIG, signal.SIGKILL),
    "memory": _limit_memory,
    "processor time": _limit_cpu,
    "size of files": lambda limits: _limit("FSIZE", limits.file_bytes),
    "open files": lambda limits: _limit("NOFILE", limits.open_files),
    "no core dumps": lambda _: _limit("CORE", 0),
}


if __name__ == "__main__":
    _main(*sys.argv[1:])
