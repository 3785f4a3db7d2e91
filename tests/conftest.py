"""What the tests share: a cache of their own, drawn photos, and a few trained runs."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from PIL import Image

import pawprint
from pawprint.data.samples import Planted, write_samples
from pawprint.progress import Advance
from pawprint.testing import drawn_photos, write_tiny_recipe
from pawprint.training.run import Run

# They begin first: a worker that came to one of them last would be alone with it for long.
LONG = (
    "test_folds.py",
    "test_from_features.py",
    "test_ray.py",
    "test_jobs.py",
    "test_commands.py",
    "test_applications.py",
    "test_tensorboard.py",
    "test_run.py",
    "test_rollback.py",
    "test_backbones.py",
    "test_tutorials.py",
    "test_groups.py",
    "test_processes.py",
    "test_gradient.py",
    "test_resume.py",
    "test_notebook.py",
    "test_mirrored.py",
    "test_time_limit.py",
    "test_browser.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take long first; `scripts/test` hands files out in this order."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


T = TypeVar("T")

TINTS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


class Once:
    """Makes what the tests share once, for all the processes that run them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def __call__(self, name: str, make: Callable[[Path], T]) -> T:
        """What was made under this name; where nothing was, make it in a folder of its own."""
        kept = self._folder / f"{name}.pickle"
        with (self._folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                made = make(Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._folder)))
                kept.write_bytes(pickle.dumps(made))
            found: T = pickle.loads(kept.read_bytes())
        return found


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Makes what is shared once, also where the tests run in several processes."""
    own = tmp_path_factory.getbasetemp()
    return Once((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "once")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A feature cache for this session, so that no test meets the user's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAWPRINT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photos and weights that development machines have."""
    named = os.environ.get("PAWPRINT_SHARED")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"{folder} has no photos; name their folder in PAWPRINT_SHARED")
    return folder


@pytest.fixture(scope="session")
def drawn(once: Once) -> tuple[Path, list[Planted]]:
    """48 drawn cats and dogs, and the faults planted among them."""

    def draw(folder: Path) -> tuple[Path, list[Planted]]:
        return folder / "photos", write_samples(folder / "photos", 48, faults=True)

    return once("drawn", draw)


@pytest.fixture(scope="session")
def photos(drawn: tuple[Path, list[Planted]]) -> Path:
    """The folder of drawn cats and dogs. Not to be changed."""
    return drawn[0]


@pytest.fixture(scope="session")
def tinted(once: Once) -> Path:
    """Three classes, 20 photos each, tinted so little that random weights do not part all."""
    return once("tinted", _tinted)


def _tinted(folder: Path) -> Path:
    drawn = sorted(drawn_photos(folder / "drawn", 60).glob("*/*.jpg"))
    for number, (name, tint) in enumerate(TINTS.items()):
        (folder / "photos" / name).mkdir(parents=True)
        for path in drawn[number::3]:
            with Image.open(path) as picture:
                pixels = 0.7 * np.asarray(picture) + 0.3 * np.array(tint)
            Image.fromarray(pixels.astype(np.uint8)).save(
                folder / "photos" / name / f"{path.stem}.png"
            )
    return folder / "photos"


@pytest.fixture(scope="session")
def recipe(once: Once) -> Path:
    """The tiny recipe as a file."""
    return once("recipe", lambda place: write_tiny_recipe(place / "tiny.toml"))


@pytest.fixture(scope="session")
def run(photos: Path, recipe: Path, once: Once) -> Run:
    """A run on the drawn photos; two classes. Not to be changed."""
    return once("two", lambda place: pawprint.train(photos, recipe=recipe, out=place / "run"))


@pytest.fixture(scope="session")
def run_of_three(tinted: Path, recipe: Path, once: Once) -> Run:
    """A run on the tinted photos; three classes. Not to be changed."""
    return once("three", lambda place: pawprint.train(tinted, recipe=recipe, out=place / "run"))


@pytest.fixture(scope="session")
def classifier(run: Run) -> pawprint.Classifier:
    """The classifier of two classes, loaded once."""
    return pawprint.load(run.path)


@pytest.fixture
def own_bundle(run: Run, tmp_path: Path) -> Path:
    """A copy of the bundle of two classes, to be changed at will."""
    return Path(shutil.copytree(run.model, tmp_path / "bundle"))


@dataclass
class Listener:
    """Progress that remembers what it was told."""

    said: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def step(self, what: str, total: int | None) -> Iterator[Advance]:
        """Note how many units each step announced."""
        self.steps[what] = self.steps.get(what, 0) + (total or 0)

        def advance(done: int, /, note: str = "") -> None:
            self.notes += [note] if note else []

        yield advance

    def say(self, message: str) -> None:
        """Note the message."""
        self.said.append(message)

    def log(self, line: str) -> None:
        """Note the line."""
        self.lines.append(line)


@pytest.fixture
def listener() -> Listener:
    """Progress that remembers what it was told."""
    return Listener()


@dataclass(frozen=True)
class Ran:
    """What a command line did."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run the command line within this process."""
    from pawprint.cli import main

    def run_cli(*arguments: object, stdin: str = "") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ran(int(end.value.code or 0), said.out, said.err)

    return run_cli


COMMAND = (sys.executable, "-c", "from pawprint.cli import main; main()")


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run the command line in a process of its own; its output comes back as bytes."""

    def start(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
        command = [*COMMAND, *(os.fspath(a) if isinstance(a, Path) else str(a) for a in arguments)]
        return subprocess.run(command, capture_output=True, timeout=240, check=False, **options)  # type: ignore[call-overload, no-any-return]

    return start


# Root may write anywhere; without these two capabilities (man 7 capabilities) permissions bind it.
WITHOUT_OVERRIDE = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if ctypes.CDLL(None).prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
        sys.exit(98)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(scope="session")
def bound(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What to put before a command so that permissions bind it, also when the tests run as root."""
    prefix = [] if os.geteuid() else [sys.executable, "-c", WITHOUT_OVERRIDE]
    shut = tmp_path_factory.mktemp("shut")
    shut.chmod(0o555)
    probe = f"import os; os.mkdir({str(shut / 'in')!r})"
    tried = subprocess.run(
        [*prefix, sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    if "PermissionError" not in tried.stderr:
        pytest.skip(f"permissions do not bind here ({tried.stderr.strip()[-100:] or 'root'})")
    return prefix


@pytest.fixture
def unprivileged(bound: list[str]) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run the command line in a process that permissions bind."""

    def start(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
        command = [*bound, *COMMAND, *map(os.fspath, map(str, arguments))]
        return subprocess.run(command, capture_output=True, timeout=240, check=False, **options)  # type: ignore[call-overload, no-any-return]

    return start


@pytest.fixture
def shut() -> Iterator[Callable[[Path, int], Path]]:
    """Take permissions from paths, and give them back at the end."""
    changed: list[Path] = []

    def take(path: Path, mode: int) -> Path:
        changed.append(path)
        path.chmod(mode)
        return path

    yield take
    for path in reversed(changed):
        path.chmod(0o755)


CHROMIUM = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@pytest.fixture(scope="module")  # it keeps an event loop running, which other modules' tests mind
def browser() -> Iterator[Any]:
    """A real browser: Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = os.environ.get("PAWPRINT_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium; install it, or name one in PAWPRINT_CHROMIUM")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=chromium, args=CHROMIUM)
        yield launched
        launched.close()
