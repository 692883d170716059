"""Files, locks, signals and the machine's resources; knows nothing of training."""
