"""Exercises on backpropagation, generated from a seed, with their hints, solutions and checks."""
