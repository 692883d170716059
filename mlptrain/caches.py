"""How large the processor's caches are."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}


class Caches(NamedTuple):
    """Bytes of a core's second-level cache, and of the largest cache, which all cores share."""

    core: int
    shared: int


USUAL = Caches(1024**2, 8 * 1024**2)
"""Taken where the system does not say: a laptop's."""


def _sizes() -> dict[int, int]:
    """The size of each level's data cache, in bytes, as far as Linux states it."""
    sizes = {}
    for folder in sorted(_CACHES.glob("index*")):
        with suppress(OSError, ValueError, KeyError, IndexError):
            text = (folder / "size").read_text().strip()
            level = int((folder / "level").read_text())
            if (folder / "type").read_text().strip() != "Instruction":
                sizes[level] = int(text[:-1]) * _UNITS[text[-1]]
    return sizes


def processor_caches() -> Caches:
    """The caches of this machine's first core, or the usual sizes where the system does not state them."""
    sizes = _sizes()
    core = sizes.get(2, USUAL.core)
    return Caches(core, max(core, sizes.get(3, USUAL.shared if 2 not in sizes else core)))
