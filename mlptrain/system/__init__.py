"""Files, locks, signals, optional libraries and the resources of the machine."""
