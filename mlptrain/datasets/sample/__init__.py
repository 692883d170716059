"""The embedded sample: 5,000 MNIST digits as gzipped IDX; see ATTRIBUTION.md."""
