"""Computation graphs for teaching backpropagation."""
