"""A job from its beginning to its end: results, accounts, refusals, engines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import compute, parquet

import pawprint
from pawprint import starter
from pawprint.bundle import ONNX
from pawprint.classifier import Classifier, Prediction
from pawprint.data.images import open_photo
from pawprint.engine import Network
from pawprint.errors import OutputError, PawprintError, SourceError
from pawprint.parts.places import Place
from pawprint.parts.schema import About, matrix, predictions
from pawprint.scale.engines import LocalEngine, Lost
from pawprint.scale.predicting import Predictions
from pawprint.scale.worker import Assignment, Done, Worker

from .conftest import Few, Run, parts, plan_of, rows, same
from .object_store import Store

ANOTHER = Path(__file__).parents[1] / "fixtures/bundle-1"
COUNTS = [4, 4, 4, 4, 3]  # rows a part


@pytest.fixture(scope="module")
def answers(few: Few) -> list[Prediction]:
    """What the library answers, in the order of names."""
    names = sorted(path for path in few.folder.rglob("*") if path.suffix in (".jpg", ".png"))
    at_top = [path for path in names if path.parent == few.folder]
    return list(pawprint.load().predict_many([*at_top, *(p for p in names if p not in at_top)]))


def test_results_are_those_of_the_library_bit_for_bit(
    few: Few, finished: Path, answers: list[Prediction]
) -> None:
    classes = pawprint.load().classes
    found = rows(finished)
    assert len(found) == len(answers) == few.total
    for row, answer in zip(found, answers, strict=True):
        assert str(few.folder / row["path"]) == answer.path
        for name in ("label", "probability", "novelty"):
            assert row[name] == getattr(answer, name)
        if answer.error is None:
            assert row["probabilities"] == [answer.probabilities[label] for label in classes]
            assert row["error"] is None


def test_errors_say_why_and_have_nothing_else(few: Few, finished: Path) -> None:
    bad = {row["path"]: row for row in rows(finished) if row["error"] is not None}
    assert set(bad) == set(few.bad)
    for path, row in bad.items():
        assert row["error"] == (few.bad[path] or row["error"])
        assert {name for name, value in row.items() if value is not None} == {"path", "error"}


def test_embeddings_are_what_the_network_gives(few: Few, finished: Path) -> None:
    classifier = pawprint.load()
    outputs = ["probabilities", "novelty", "embedding"]
    network = Network((starter.BUNDLE / ONNX).read_bytes(), outputs)
    table = parquet.read_table(finished / "parts")
    good = table.filter(compute.is_null(table.column("error")))
    found = matrix(good.column("embedding"))
    assert found.shape == (good.num_rows, network.shape(-1)[0])
    preprocessing = classifier.card.preprocessing
    for path, row in zip(good.column("path").to_pylist(), found, strict=True):
        data = (few.folder / path).read_bytes()
        pixels = preprocessing.fit(open_photo(data, path, near=preprocessing.size).picture)
        assert row.tobytes() == network(pixels)[-1].astype(np.float16).tobytes()


def test_every_part_has_the_schema_and_says_what_it_is(finished: Path) -> None:
    job = json.loads((finished / "job.json").read_text())
    classifier = Classifier(embeds=True)
    schema = predictions(classifier.classes, classifier.embedding_size)
    for number, path in enumerate(parts(finished)):
        file = parquet.ParquetFile(path)
        assert file.schema_arrow.equals(schema)
        assert json.loads(file.schema_arrow.metadata[b"classes"]) == ["cat", "dog"]
        about = About.of(file.metadata.metadata)
        assert about is not None
        assert (about.job, about.part, about.rows) == (job["digest"], number, COUNTS[number])


def test_the_manifest_accounts_for_every_input(few: Few, finished: Path) -> None:
    manifest = json.loads((finished / "manifest.json").read_text())
    found = rows(finished)
    labels = [row["label"] for row in found if row["label"] is not None]
    assert manifest["inputs"] == manifest["rows"] == len(found) == few.total
    assert (manifest["errors"], manifest["unreachable"]) == (len(few.bad), 0)
    assert manifest["labels"] == {label: labels.count(label) for label in sorted(set(labels))}
    assert sum(manifest["labels"].values()) + manifest["errors"] == few.total
    assert [part["file"] for part in manifest["parts"]] == [path.name for path in parts(finished)]
    assert [part["rows"] for part in manifest["parts"]] == COUNTS
    assert sum(part["errors"] for part in manifest["parts"]) == len(few.bad)
    assert manifest["source"] == str(few.folder)


def test_nothing_is_left_beside_the_results(finished: Path) -> None:
    plan = plan_of(finished)
    assert sorted(os.listdir(finished)) == ["job.json", "manifest.json", "parts", plan.name]
    assert sorted(os.listdir(plan)) == ["listing.parquet", "model"]
    assert not list(finished.rglob(".*"))


@pytest.mark.parametrize("size", [1, 19, 1000])
def test_the_size_of_parts_does_not_matter(
    size: int, job: Run, finished: Path, tmp_path: Path
) -> None:
    job(tmp_path / "out", part_size=size)
    assert same(rows(tmp_path / "out"), rows(finished))
    assert len(parts(tmp_path / "out")) == -(-19 // size)


def untouched(out: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time and content."""
    files = [path for path in out.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_another_job_is_refused_and_nothing_touched(job: Run, own: Path, few: Few) -> None:
    before = untouched(own)
    with pytest.raises(OutputError, match=r"own holds a job of other photos; name another"):
        job(own, few.folder / "cat")
    with pytest.raises(OutputError, match="holds a job in parts of another size"):
        job(own, part_size=5)
    with pytest.raises(OutputError, match="holds a job that computes something else"):
        job(own, what=Predictions(ANOTHER))
    assert untouched(own) == before


@pytest.mark.parametrize("name", ["pawprint", "decoding", "openvino"])
def test_other_versions_are_refused(name: str, job: Run, own: Path) -> None:
    said = json.loads((own / "job.json").read_text())
    said["versions"][name] = "0.0"
    (own / "job.json").write_text(json.dumps(said))
    before = untouched(own)
    with pytest.raises(PawprintError, match=f"was begun with {name} 0.0, and here is .+; install"):
        job(own)
    assert untouched(own) == before


def test_places_of_one_name_in_two_stores_are_not_mixed(
    job: Run, few: Few, store: Store, tmp_path: Path
) -> None:
    job(tmp_path, store.address("photos"))
    job(tmp_path, store.address("photos").replace("key:secret", "another:key"))
    with Store() as other:
        other.put_folder(few.folder.parent)
        with pytest.raises(OutputError, match="holds a job of other photos; name another folder"):
            job(tmp_path, other.address("photos"))


def test_a_list_that_was_changed_is_another_job(job: Run, few: Few, tmp_path: Path) -> None:
    first, second = sorted(few.folder.glob("dog/*.jpg"))[:2]
    source = tmp_path / "list.csv"
    source.write_text(f"path,label\n{first},cat\n")
    job(tmp_path / "out", source)
    for changed in (f"path,label\n{second},cat\n", f"path,label\n{first},dog\n"):
        source.write_text(changed)
        before = untouched(tmp_path / "out")
        with pytest.raises(OutputError, match="of that list as it was before it was changed; name"):
            job(tmp_path / "out", source)
        assert untouched(tmp_path / "out") == before


class Twice(Predictions):
    """What computes, and another command that begins the same job meanwhile."""

    def __init__(self, other: Callable[[], object]) -> None:
        super().__init__(starter.BUNDLE)
        self._other = other

    def write(self, plan: Place) -> None:
        super().write(plan)
        self._other()


@pytest.mark.parametrize("of", ["", "cat"])
def test_two_beginnings_do_each_other_no_harm(of: str, job: Run, few: Few, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(OutputError, match=r"another command has begun a job in .+; run the same"):
        job(out, what=Twice(lambda: job(out, few.folder / of)))
    before = {path.name: path.read_bytes() for path in parts(out)}
    assert job(out, few.folder / of).computed == 0
    assert {path.name: path.read_bytes() for path in parts(out)} == before


def test_a_beginning_at_the_same_moment_is_noticed(job: Run, own: Path) -> None:
    class Replaced(LocalEngine):
        def run(self, assignment: Assignment, parts: Sequence[int]) -> Generator[Done, None, None]:
            yield from super().run(assignment, parts)
            said = json.loads((own / "job.json").read_text())
            (own / "job.json").write_text(json.dumps(said | {"plan": "plan-00000000"}))

    parts(own)[0].unlink()
    with pytest.raises(OutputError, match=r"another command began a job in .+ at the same moment"):
        job(own, engine=Replaced())
    assert not (own / "manifest.json").exists()


@pytest.mark.parametrize("said", ["", "{", "[]", '{"errors": 5}'])
def test_a_manifest_that_is_not_of_these_parts_is_written_anew(
    said: str, job: Run, own: Path, finished: Path
) -> None:
    (own / "manifest.json").write_text(said)
    ran = job(own)
    meant = json.loads((finished / "manifest.json").read_text())
    assert ran.computed == 0
    assert json.loads((own / "manifest.json").read_text()) == ran.manifest
    for name in ("inputs", "rows", "errors", "labels", "parts"):
        assert ran.manifest[name] == meant[name]


def test_a_job_without_all_its_parts_has_no_manifest(job: Run, own: Path) -> None:
    parts(own)[1].unlink()
    with pytest.raises(PawprintError, match="could not be computed in 3 rounds"):
        job(own, engine=Idle())
    assert not (own / "manifest.json").exists()


def test_a_finished_job_asks_for_no_engine(job: Run, own: Path) -> None:
    class Away(LocalEngine):
        def start(self) -> None:
            raise PawprintError("there is no cluster")

    assert job(own, engine=Away()).computed == 0
    parts(own)[0].unlink()
    with pytest.raises(PawprintError, match="there is no cluster"):
        job(own, engine=Away())
    with pytest.raises(PawprintError, match="there is no cluster"):
        job(own.with_name("new"), engine=Away())
    assert not own.with_name("new").exists(), "nothing is listed before"


def test_what_else_is_there_is_not_replaced(job: Run, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan/listing.parquet").write_text("of a holiday")
    for out in (tmp_path, tmp_path / "thesis.txt", tmp_path / "plan"):
        with pytest.raises(OutputError, match="holds something else, and nothing is replaced"):
            job(out)
    with pytest.raises(OutputError, match=r"cannot be written \(not a directory\)"):
        job(tmp_path / "thesis.txt/below")
    assert sorted(os.listdir(tmp_path)) == ["plan", "thesis.txt"]
    assert (tmp_path / "plan/listing.parquet").read_text() == "of a holiday"


def test_sources_without_photos_are_refused_and_nothing_written(job: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.csv").write_text("no,such,columns\n1,2,3")
    for source in ("empty", "bad.csv", "typo"):
        with pytest.raises(SourceError, match=f"{source} "):
            job(tmp_path / "out", tmp_path / source)
    assert not (tmp_path / "out").exists()


def test_one_photo_is_a_job(job: Run, few: Few, tmp_path: Path, finished: Path) -> None:
    meant = next(row for row in rows(finished) if row["path"] == "cat/Käse 猫 #1?.jpg")
    (tmp_path / "list.jsonl").write_text(json.dumps({"path": str(few.folder / meant["path"])}))
    job(tmp_path / "out", tmp_path / "list.jsonl")
    (found,) = rows(tmp_path / "out")
    assert same([found], [meant | {"path": str(few.folder / meant["path"])}])


def test_lists_have_rows_for_what_is_missing_and_what_comes_twice(
    job: Run, few: Few, tmp_path: Path
) -> None:
    photo = str(next(few.folder.glob("dog/*.jpg")))
    paths = [photo, "missing.jpg", photo, "zz://nowhere/a.jpg", str(few.folder)]
    (tmp_path / "list.txt").write_text("\n".join(paths))
    ran = job(tmp_path / "out", tmp_path / "list.txt")
    found = rows(tmp_path / "out")
    assert [row["path"] for row in found] == paths
    first, missing, again, nowhere, folder = found
    assert same([first], [again])
    assert first["error"] is None
    assert missing["error"] == "it cannot be read (no such file or directory)"
    assert nowhere["error"].startswith("zz://nowhere cannot be opened")
    assert folder["error"] == "it is a folder"
    assert ran.manifest["errors"] == 3


class Losing(LocalEngine):
    """An engine that gives up after every part."""

    def run(self, assignment: Assignment, parts: Sequence[int]) -> Generator[Done, None, None]:
        yield from super().run(assignment, parts[:1])
        raise Lost("a node went away")


class Idle(LocalEngine):
    """An engine that says what is not so."""

    def run(self, assignment: Assignment, parts: Sequence[int]) -> Generator[Done, None, None]:
        return (Done(part, photos=1) for part in parts)


class Mortal(LocalEngine):
    """An engine whose only worker dies of some parts, each time."""

    def __init__(self, *deadly: int) -> None:
        self.deadly = deadly

    def run(self, assignment: Assignment, parts: Sequence[int]) -> Generator[Done, None, None]:
        worker = Worker(assignment)
        for part in parts:
            if part in self.deadly:
                raise Lost(f"the worker of part {part} died")
            yield worker(part)


class Careless(LocalEngine):
    """An engine in whose time a part that was there goes away."""

    def run(self, assignment: Assignment, parts: Sequence[int]) -> Generator[Done, None, None]:
        yield from super().run(assignment, parts)
        Path(assignment.out, "parts/part-000000.parquet").unlink()


class Hasty(LocalEngine):
    """An engine that computes twice, in any order, and forgets a part."""

    def run(self, assignment: Assignment, parts: Sequence[int]) -> Generator[Done, None, None]:
        worker = Worker(assignment)
        yield from map(worker, [*reversed(parts[1:]), *parts[1:]] or parts)


@pytest.mark.parametrize("engine", [Losing(), Hasty()])
def test_engines_may_fail_as_long_as_something_comes(
    engine: LocalEngine, job: Run, tmp_path: Path, finished: Path, listener: Any
) -> None:
    job(tmp_path, engine=engine, progress=listener)
    assert same(rows(tmp_path), rows(finished))
    if isinstance(engine, Losing):
        assert listener.said == ["a node went away; going on with what is missing"] * 5


@pytest.mark.parametrize("deadly", [(0,), (2,), (4,), (0, 1), (1, 3)], ids=str)
def test_parts_that_end_their_workers_are_named_and_cost_no_others(
    deadly: tuple[int, ...], job: Run, tmp_path: Path, finished: Path
) -> None:
    names = [row["path"] for row in rows(finished)]
    first, last = names[4 * deadly[0]], names[4 * deadly[0] : 4 * deadly[0] + 4][-1]
    with pytest.raises(PawprintError) as raised:
        job(tmp_path, engine=Mortal(*deadly))
    assert str(raised.value) == (
        f"on this machine part {deadly[0]} could not be computed in 3 rounds: its workers died, or "
        f"what they wrote is not there. If one of its photos ends them ({first} to {last}), take "
        "it out and begin anew; what is there is kept, and the same command goes on"
    )
    there = {int(path.stem.removeprefix("part-")) for path in parts(tmp_path)}
    assert there == set(range(5)) - set(deadly)
    assert not (tmp_path / "manifest.json").exists()
    assert job(tmp_path).computed == sum(COUNTS[part] for part in deadly)
    assert same(rows(tmp_path), rows(finished))


def test_a_part_that_goes_away_meanwhile_is_told(job: Run, own: Path, finished: Path) -> None:
    parts(own)[3].unlink()
    with pytest.raises(
        OutputError, match=r"part-000000\.parquet was there and is gone; run the same"
    ):
        job(own, engine=Careless())
    job(own)
    assert same(rows(own), rows(finished))


def test_engines_that_bring_nothing_are_given_up(job: Run, tmp_path: Path, finished: Path) -> None:
    told = (
        r"on this machine part 0 could not be computed in 3 rounds: .+\(gone.jpg to cat/.+\.jpg\)"
    )
    with pytest.raises(PawprintError, match=told):
        job(tmp_path, engine=Idle())
    job(tmp_path)
    assert same(rows(tmp_path), rows(finished))
