"""Training in memory: a `Trainer` runs the epochs of a `Stack` of networks and yields reports.

Each network of the stack is a `Member`, which has its metrics so far, the sums over the current epoch (`Running`) and
its best epoch (`Patience`).
"""
