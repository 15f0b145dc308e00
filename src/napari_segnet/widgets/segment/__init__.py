"""Run a network on layers."""
