"""napari's layers: how they are read, changed, followed and told apart."""
