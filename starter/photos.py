"""Lay the photos out by their numbers: those to learn from, to watch and to measure on.

    python starter/photos.py cats_vs_dogs_16k.zip WORK

writes WORK/photos/{train,validation,test}/{cat,dog}/N.jpg. The numbers decide, so that what is held
out stays held out in every later run, and also in other sets made of the same photos.
"""

import argparse
import re
import zipfile
from pathlib import Path

TRAIN, VALIDATION, TEST = "train", "validation", "test"
_TEST = range(1250)  # among them the numbers 1-200 of the set in full size
_VALIDATION = range(1250, 1500)
_PHOTO = re.compile(r"(?:.*/)?(Cat|Dog)/(\d+)\.jpg")


def split_of(number: int) -> str:
    """The part that a photo belongs to.

    >>> split_of(200), split_of(1250), split_of(7999)
    ('test', 'validation', 'train')
    """
    return TEST if number in _TEST else VALIDATION if number in _VALIDATION else TRAIN


def lay_out(archive: Path, work: Path) -> Path:
    """Unpack an archive in the layout of the official one, by split; once.

    Args:
        archive: with `PetImages/Cat/N.jpg` and `PetImages/Dog/N.jpg`.
        work: the folder of this training.

    Returns:
        The folder of the photos.
    """
    photos = work / "photos"
    if photos.exists():
        return photos
    partial = work / "photos.part"
    with zipfile.ZipFile(archive) as unpacked:
        for name in unpacked.namelist():
            found = _PHOTO.fullmatch(name)
            if found is None:
                continue
            label, number = found[1].lower(), int(found[2])
            path = partial / split_of(number) / label / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(unpacked.read(name))
    return partial.rename(photos)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    print(lay_out(given.archive, given.work))
