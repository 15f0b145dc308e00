"""Networks that answer with maps."""
