"""How much memory this process may still take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP_LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def _figures() -> Iterator[int]:
    """Every bound that this system states, in bytes."""
    with suppress(OSError, ValueError, IndexError):
        _, _, rest = _MEMINFO.read_text().partition("MemAvailable:")
        yield int(rest.split()[0]) * 1024
    for limit, used in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # ValueError: the limit reads "max"
            taken = int(used.read_text()) - _idle_file_cache(limit.with_name("memory.stat"))
            yield max(0, int(limit.read_text()) - taken)
    with suppress(OSError, ValueError, AttributeError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _idle_file_cache(statistics: Path) -> int:
    """Bytes of a container's usage that the kernel gives up first: files that were read a while ago."""
    with suppress(OSError, ValueError):
        lines = (line.partition(" ") for line in statistics.read_text().splitlines())
        return sum(int(size) for key, _, size in lines if key == "inactive_file")
    return 0


def available_memory() -> int | None:
    """Bytes that may still be taken (system and container), or None where the system does not say."""
    return min(_figures(), default=None)


def format_bytes(count: int) -> str:
    """``count`` bytes in the unit that a person reads: ``31.4 GB``."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
