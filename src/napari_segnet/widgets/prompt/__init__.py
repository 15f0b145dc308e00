"""Ask a network for single objects."""
