"""Train a network in the window."""
