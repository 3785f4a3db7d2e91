"""Drawn photos: the same for the same seed, and every planted fault is what it says."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from pawprint.data.samples import Fault, Planted, draw, write_samples
from pawprint.errors import OutputError


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder)}


def load(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Planted]]:
    folder = tmp_path_factory.mktemp("faulty")
    return folder, write_samples(folder, photos=20, seed=3, faults=True)


def of(planted: list[Planted], fault: Fault) -> list[str]:
    found = [plant.path for plant in planted if plant.fault == fault]
    assert found, f"no {fault} was planted"
    return found


@pytest.mark.parametrize("kind", ["cat", "dog"])
def test_same_seed_same_pixels(kind: str) -> None:
    assert draw(kind, 5).tobytes() == draw(kind, 5).tobytes()
    assert draw(kind, 5, (64, 48)).tobytes() == draw(kind, 5, (64, 48)).tobytes()


def test_seeds_and_kinds_differ() -> None:
    size = (96, 96)
    pixels = {draw(kind, seed, size).tobytes() for kind in ("cat", "dog") for seed in range(20)}
    assert len(pixels) == 40


@pytest.mark.parametrize("size", [(160, 120), (1, 1), (7, 300), (641, 480)])
def test_draws_any_size_asked_for(size: tuple[int, int]) -> None:
    image = draw("dog", 1, size)
    assert (image.size, image.mode) == (size, "RGB")


def test_sizes_vary_within_the_promised_range() -> None:
    sizes = [draw(kind, seed).size for kind in ("cat", "dog") for seed in range(30)]
    assert all(120 <= side <= 320 for size in sizes for side in size)
    assert len(set(sizes)) > 40
    assert any(width > height for width, height in sizes)
    assert any(width < height for width, height in sizes)


def test_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="'fox'"):
        draw("fox", 0)


def test_a_photo_needs_pixels() -> None:
    with pytest.raises(ValueError, match="0"):
        draw("cat", 0, (0, 10))


def test_colour_alone_does_not_tell_the_kinds_apart() -> None:
    means = {
        kind: np.array([np.asarray(draw(kind, seed, (96, 96))).mean((0, 1)) for seed in range(120)])
        for kind in ("cat", "dog")
    }
    # The best threshold on any one channel, seen with the answers at hand.
    for channel in range(3):
        cats, dogs = means["cat"][:, channel], means["dog"][:, channel]
        split = max(
            max(rate, 1 - rate)
            for cut in np.concatenate([cats, dogs])
            for rate in [((cats < cut).mean() + (dogs >= cut).mean()) / 2]
        )
        assert split < 0.7


def test_writes_half_of_each_and_nothing_else(tmp_path: Path) -> None:
    assert write_samples(tmp_path / "photos", photos=7) == []
    cats = {f"cat/cat_{i:04d}.jpg" for i in range(1, 5)}
    dogs = {f"dog/dog_{i:04d}.jpg" for i in range(1, 4)}
    assert names(tmp_path / "photos") == cats | dogs
    assert len(set(contents(tmp_path / "photos").values())) == 7
    for name in cats | dogs:
        image = load(tmp_path / "photos" / name)
        assert (image.format, image.mode) == ("JPEG", "RGB")


def test_a_photo_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    write_samples(tmp_path / "few", photos=4, seed=9)
    write_samples(tmp_path / "more", photos=9, seed=9, faults=True)
    few, more = contents(tmp_path / "few"), contents(tmp_path / "more")
    assert few == {name: more[name] for name in few}


def test_another_seed_gives_other_photos(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_samples(tmp_path / str(seed), photos=4, seed=seed)
    first, second = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values())


def test_faults_are_the_same_for_the_same_seed(
    tmp_path: Path, faulty: tuple[Path, list[Planted]]
) -> None:
    folder, planted = faulty
    assert write_samples(tmp_path / "again", photos=20, seed=3, faults=True) == planted
    assert contents(tmp_path / "again") == contents(folder)


def test_every_file_is_accounted_for(faulty: tuple[Path, list[Planted]]) -> None:
    folder, planted = faulty
    good = {f"{kind}/{kind}_{i:04d}.jpg" for kind in ("cat", "dog") for i in range(1, 11)}
    ignored = {f"{kind}/{name}" for kind in ("cat", "dog") for name in ("Thumbs.db", ".hidden.jpg")}
    extra = {plant.path for plant in planted}
    assert len(extra) == len(planted)
    assert names(folder) == good | ignored | extra
    assert {plant.fault for plant in planted} == set(Fault)


def test_truncated_photos_open_but_do_not_load(faulty: tuple[Path, list[Planted]]) -> None:
    folder, planted = faulty
    for path in of(planted, Fault.TRUNCATED):
        with Image.open(folder / path) as image:
            assert image.format == "JPEG"
            with pytest.raises(OSError, match="truncated"):
                image.load()


def test_empty_files_have_no_bytes(faulty: tuple[Path, list[Planted]]) -> None:
    folder, planted = faulty
    assert {(folder / path).stat().st_size for path in of(planted, Fault.EMPTY)} == {0}


def test_text_under_the_name_of_a_photo(faulty: tuple[Path, list[Planted]]) -> None:
    folder, planted = faulty
    for path in of(planted, Fault.NOT_AN_IMAGE):
        assert path.endswith(".jpg")
        assert "photo" in (folder / path).read_text(encoding="utf-8")
        with pytest.raises(UnidentifiedImageError):
            Image.open(folder / path)


def test_damaged_files_are_a_png_and_a_jpeg(faulty: tuple[Path, list[Planted]]) -> None:
    folder, planted = faulty
    formats = set()
    for path in of(planted, Fault.DAMAGED):
        with Image.open(folder / path) as image:
            formats.add(image.format)
            with pytest.raises(OSError, match=r"truncated|broken|unrecognized"):
                image.load()
    assert formats == {"PNG", "JPEG"}


def test_wrong_labels_are_whole_photos_of_the_other_kind(
    faulty: tuple[Path, list[Planted]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, planted = faulty
    wrong = of(planted, Fault.WRONG_LABEL)
    assert {Path(path).parent.name for path in wrong} == {"cat", "dog"}
    assert all(load(folder / path).format == "JPEG" for path in wrong)
    shades = {"cat": "#000000", "dog": "#ffffff"}
    # A plain colour for each kind shows which one was drawn.
    monkeypatch.setattr(
        "pawprint.data.samples.draw", lambda kind, seed: Image.new("RGB", (64, 64), shades[kind])
    )
    plain = write_samples(tmp_path / "plain", photos=2, faults=True)
    for path in of(plain, Fault.WRONG_LABEL):
        white = load(tmp_path / "plain" / path).getpixel((5, 5)) == (255, 255, 255)
        assert white == path.startswith("cat/")


def test_duplicates_lie_within_a_class_and_across(faulty: tuple[Path, list[Planted]]) -> None:
    folder, planted = faulty
    copies = of(planted, Fault.DUPLICATE)
    originals = {data: name for name, data in contents(folder).items() if "extra" not in name}
    pairs = [(originals[(folder / path).read_bytes()], path) for path in copies]
    assert len({original for original, _ in pairs}) == len(pairs)
    across = {Path(original).parent != Path(path).parent for original, path in pairs}
    assert across == {True, False}


def test_only_the_duplicates_have_equal_bytes(faulty: tuple[Path, list[Planted]]) -> None:
    folder, planted = faulty
    photos = [data for name, data in contents(folder).items() if "hidden" not in name]
    times = Counter(data for data in photos if not data.startswith(b"\xd0\xcf"))
    assert sum(n > 1 for n in times.values()) == len(of(planted, Fault.DUPLICATE))
    assert max(times.values()) == 2


def test_faults_grow_with_the_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Drawing is beside the point here; small pictures in its place make 400 photos quick.
    monkeypatch.setattr(
        "pawprint.data.samples.draw",
        lambda kind, seed: Image.effect_noise((64, 64), 40).convert("RGB"),
    )
    few = write_samples(tmp_path / "few", photos=2, faults=True)
    many = write_samples(tmp_path / "many", photos=400, faults=True)
    once, twice = (Counter(plant.fault for plant in plants) for plants in (few, many))
    assert twice == Counter({fault: 2 * n for fault, n in once.items()})
    assert {Path(plant.path).parent.name for plant in many if plant.fault == Fault.EMPTY} == {
        "cat",
        "dog",
    }


def test_one_class_alone(tmp_path: Path) -> None:
    planted = write_samples(tmp_path / "dogs", photos=3, faults=True, classes=("dog",))
    assert {plant.path.split("/")[0] for plant in planted} == {"dog"}
    assert [path.name for path in (tmp_path / "dogs").iterdir()] == ["dog"]
    assert len(list((tmp_path / "dogs" / "dog").glob("dog_*.jpg"))) == 3
    assert {plant.fault for plant in planted} == set(Fault)


def test_folder_names_with_spaces_and_other_scripts(tmp_path: Path) -> None:
    folder = tmp_path / "meine Fotos" / "кошки & 犬 ñ"
    planted = write_samples(str(folder), photos=2, faults=True)
    assert load(folder / "cat" / "cat_0001.jpg").format == "JPEG"
    assert all((folder / plant.path).is_file() for plant in planted)


def test_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(OutputError, match="empty") as caught:
        write_samples(tmp_path, photos=2)
    assert str(tmp_path) in str(caught.value)
    assert contents(tmp_path) == {"holiday.jpg": b"mine"}
    with pytest.raises(OutputError, match="empty"):
        write_samples(tmp_path / "holiday.jpg", photos=2)


def test_a_place_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be written"):
        write_samples(tmp_path / "file" / "photos", photos=2)


def test_a_failed_write_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pawprint.data.samples.os.replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_samples(tmp_path / "photos", photos=2)
    assert names(tmp_path / "photos") == set()


@pytest.mark.parametrize(
    ("photos", "classes"), [(1, ("cat", "dog")), (4, ("cat", "fox")), (4, ()), (4, ("cat", "cat"))]
)
def test_refuses_what_cannot_be_drawn(
    tmp_path: Path, photos: int, classes: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="classes"):
        write_samples(tmp_path / "photos", photos, classes=classes)
    assert not (tmp_path / "photos").exists()
