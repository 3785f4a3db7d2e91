"""A recipe and photos in, a run with its bundle out."""
