"""Training in memory: the loop, stacks of networks, reports."""
