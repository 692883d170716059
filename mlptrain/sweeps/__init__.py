"""Sweeps: many runs from one sweep file.

A method (``methods``, ``tpe``) draws points from a ``space`` and yields waves of ``trials``. ``planning`` decides which
trials of a wave share a stack. An executor (``processes``, ``cluster``) trains the stacks. The ``driver`` records the
results in the ``journal`` and ranks them in the ``leaderboard``.
"""
