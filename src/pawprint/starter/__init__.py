"""The starter: a bundle that comes with pawprint, and the weights of the backbone of that name.

It tells cats from dogs and is a network to start training from, with nothing to download. What it
was trained on, what it is worth and where it fails is in `bundle/MODEL_CARD.md`; how it was made,
in the project's folder `starter/`. Imports no other room.
"""

from pathlib import Path

NAME = "starter"
BUNDLE = Path(__file__).parent / "bundle"
