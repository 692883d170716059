"""Types of arrays by their numbers; docstrings have the shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
"""An array of float32 or float64: in training the dtype of the config."""

Integers = NDArray[np.integer[Any]]
"""An array of labels, of uint8 in a dataset, or of indices or counts."""

Indices = NDArray[np.intp]
"""An array that selects entries of other arrays."""

Bytes = NDArray[np.uint8]
"""An array of pixels or labels, as in IDX files."""

Booleans = NDArray[np.bool_]
"""An array of conditions."""
