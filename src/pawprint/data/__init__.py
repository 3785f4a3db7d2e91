"""Photos in: sources, decoding, datasets, splits, drawn photos."""
