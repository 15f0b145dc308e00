"""Edit labels."""
