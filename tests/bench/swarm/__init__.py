"""Viewers in numbers: what many of them get of one stream."""
