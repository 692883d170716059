"""The engine: multilayer perceptrons in NumPy, K networks of one architecture side by side.

Every array has a leading model axis, K = 1 for a single network, and examples are columns, as in the book's
``w·a + b``: weights ``(K, out, in)``, biases ``(K, out, 1)``, activations ``(K, units, batch)``. The engine
knows neither configs nor files.
"""
