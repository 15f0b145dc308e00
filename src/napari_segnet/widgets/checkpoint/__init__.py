"""Choose a network and read its card."""
