"""Converts ragged data on the host to `Masked`, and back: sources, padding, packing."""
