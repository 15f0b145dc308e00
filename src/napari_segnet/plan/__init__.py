"""How a network is run on an image, decided once before it runs."""
