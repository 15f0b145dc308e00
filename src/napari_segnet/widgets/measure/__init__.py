"""Measuring the objects of labels, and exporting them to other programs."""
