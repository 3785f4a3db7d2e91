"""A bundle in other formats, each held to the bundle before it is handed over."""
