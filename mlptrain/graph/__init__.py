"""The computation graph for teaching backpropagation."""
