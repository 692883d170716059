"""One run on disk: its folder, checkpoints, training, reading and diagnosis."""
