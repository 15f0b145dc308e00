"""Training data on disk, in the layouts that other programs read and write."""
