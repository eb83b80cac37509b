"""Descriptors: what a patch of a frame looks like, as numbers."""
