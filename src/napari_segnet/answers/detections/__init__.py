"""Networks that answer with detections."""
