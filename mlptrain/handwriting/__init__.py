"""Handwriting: images of a user's own digits, converted to images like those of MNIST, and their predictions."""
