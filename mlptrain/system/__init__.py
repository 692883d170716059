"""Files, locks, signals, streams, failures, optional libraries and the resources of the machine."""
