"""What the manifest names."""
