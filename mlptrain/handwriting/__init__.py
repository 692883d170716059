"""From a picture of a person's own digit to what a network trained on MNIST expects to see."""
