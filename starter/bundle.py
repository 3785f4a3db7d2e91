"""Write the starter's bundle: that of a run, with the card that people read.

python starter/bundle.py RUN OUT
"""

import argparse
from pathlib import Path

import keras

from pawprint import bundle

CARD = "MODEL_CARD.md"
MOST = 4_000_000  # bytes


def main() -> None:
    """Write it, and make sure that it is small."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    folder = bundle.find(given.run)
    card, onnx = bundle.read(folder)
    model = keras.models.load_model(folder / bundle.KERAS, compile=False)
    text = Path(__file__).with_name(CARD).read_text("utf-8")
    bundle.write(given.out, card, onnx, model, {CARD: text})
    size = sum(path.stat().st_size for path in given.out.iterdir())
    print(f"{size:,} bytes of at most {MOST:,}")
    if size > MOST:
        raise SystemExit(f"{given.out} is too large to be carried by pawprint")


if __name__ == "__main__":
    main()
