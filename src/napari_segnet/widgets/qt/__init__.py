"""Widgets of plain Qt, which know no layer."""
