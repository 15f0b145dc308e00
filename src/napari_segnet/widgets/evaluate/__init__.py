"""Compare labels with the truth."""
