"""Plots drawn with matplotlib (extra: plots)."""
