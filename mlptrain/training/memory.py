"""The memory that training takes, compared with the memory available."""

from __future__ import annotations

import numpy as np

from mlptrain.config.config import Config
from mlptrain.datasets.batches import CHUNK_IMAGES, batch_size_of, gathers_ahead
from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.optimizers import OPTIMIZERS
from mlptrain.engine.parameters import Architecture
from mlptrain.errors import ConfigError
from mlptrain.models.evaluation import BATCH as EVALUATION_BATCH
from mlptrain.system.machine import available_memory, format_bytes
from mlptrain.training.reports import PROBE_IMAGES

PROBE_ARRAYS = 9
"""Number of arrays (units, images) with which the statistics of layers are measured."""


def memory_needed(config: Config, architecture: Architecture, images: int, members: int = 1) -> int:
    """Return the bytes that training ``members`` networks of a config side by side takes.

    The sum of parameters, gradients, optimizer state and averages, with copies of them (two checkpoints of a single
    network; the smaller stack that replaces a stack), of activations (for a training batch, the statistics of layers,
    validation and test), and of the images that are gathered at once.
    """
    size, batch = np.dtype(config.dtype).itemsize, batch_size_of(config, images)
    averaged, patient = config.ema is not None, config.early_stopping is not None
    state = 1 + OPTIMIZERS[config.optimizer].states + averaged + patient
    copies = state + 2 + config.batch_norm + averaged
    copies = copies + 2 * state if members == 1 else 2 * copies
    pixels, classes = architecture.layers[0], architecture.layers[-1]
    units, image = sum(architecture.layers[1:]), pixels + size * (pixels + 2 * classes * members)
    arrays = 3 + (not ACTIVATIONS[config.activation].from_output) + config.batch_norm + 3 * (config.dropout != 0.0)
    needed = members * size * (copies * architecture.parameter_count + (arrays * batch + 4 * EVALUATION_BATCH) * units)
    needed += members * size * PROBE_ARRAYS * min(images, PROBE_IMAGES) * units
    chunk = max(CHUNK_IMAGES, batch)
    needed += image * (min(images, 2 * chunk) if gathers_ahead(config, architecture.layers, batch) else chunk)
    needed += 2 * image * CHUNK_IMAGES
    needed += 3 * members * size * batch * pixels * (config.input_dropout > 0)
    return needed


def check_memory(config: Config, architecture: Architecture, images: int, members: int = 1) -> None:
    """Check that networks fit in the available memory, before anything is allocated.

    Raises
    ------
    ConfigError
        They do not fit; the message has the memory that they take and the memory available.
    """
    needed, available = memory_needed(config, architecture, images, members), available_memory()
    if available is not None and needed > available:
        together = f" for {members} networks at a time" if members > 1 else ""
        remedy = "use --no-stack or fewer --workers, or " if members > 1 else ""
        raise ConfigError(
            f"hidden {list(config.hidden)} with batch_size {config.batch_size} takes {format_bytes(needed)} of memory"
            f"{together}; {format_bytes(available)} are available\n"
            f"hint: {remedy}make the hidden layers or the batch smaller"
        )
