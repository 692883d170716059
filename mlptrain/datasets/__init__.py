"""Datasets: the IDX format, the named datasets, the split and the batches."""
