"""What napari shows: dock widgets, drops, sample data. Only here are napari and Qt known."""
