"""Go through doubtful objects."""
