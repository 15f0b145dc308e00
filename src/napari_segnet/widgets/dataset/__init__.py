"""Put corrected layers into a training set."""
