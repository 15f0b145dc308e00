"""Record corrections and bring them back after a crash."""
