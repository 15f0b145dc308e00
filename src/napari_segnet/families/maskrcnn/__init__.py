"""Mask R-CNN with a feature pyramid, once; a folder for each program that trains it."""
