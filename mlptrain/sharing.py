"""Which configs may train side by side in one stack."""

from __future__ import annotations

from collections.abc import Hashable

from mlptrain.config import Config, batch_seed_of

_SHARED = (
    *("dataset", "split", "split_seed", "subset", "augment", "hidden", "activation", "output", "init", "batch_norm"),
    *("loss", "optimizer", "batch_size", "dtype"),
)


def stack_key(config: Config) -> Hashable:
    """What configs must agree in to train in one stack: their data and batches, shape, functions and update rule.

    Where one dropped pixels or averaged its weights and another did not, one stack could hold them too, but all would
    pay for it.
    """
    values = [getattr(config, key) for key in _SHARED]
    return (*values, batch_seed_of(config), config.input_dropout > 0, config.ema is not None)
