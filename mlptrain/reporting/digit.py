"""Images drawn in the terminal with half-block characters, two rows of pixels per line."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.text import Text

from mlptrain.engine.arrays import Floats
from mlptrain.system.text import can_print

INK = 0.35  # brightness from which a pixel is drawn on a terminal without shades

RAMP = " .:-=+*#%@"

_BLOCKS = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def draw(image: Floats, console: Console) -> list[Text]:
    """Return ``image`` (height, width) in [0, 1], light on dark, as lines of ``width`` characters.

    It is drawn in shades of grey if the terminal has at least 256 colours, else in black and white, and with ASCII
    characters if the encoding lacks half blocks.
    """
    if image.shape[0] % 2:
        image = np.vstack([image, np.zeros_like(image[:1])])
    pairs = list(zip(image[::2], image[1::2], strict=True))
    if not can_print("▀▄█", console.encoding):
        return [Text("".join(RAMP[round(9 * float(value))] for value in (upper + lower) / 2)) for upper, lower in pairs]
    if console.no_color or console.color_system in (None, "standard"):
        return [Text("".join(map(_block, upper > INK, lower > INK))) for upper, lower in pairs]
    return [_shades(upper, lower) for upper, lower in pairs]


def _block(upper: object, lower: object) -> str:
    return _BLOCKS[bool(upper), bool(lower)]


def _shades(upper: Floats, lower: Floats) -> Text:
    """Return two rows with the brighter half in the foreground: copied without its colours, the digit stays legible."""
    line = Text()
    for above, below in zip(_bytes(upper), _bytes(lower), strict=True):
        front, back = max(above, below), min(above, below)
        block = ("█" if front > INK * 255 else " ") if front == back else "▀" if above > below else "▄"
        line.append(block, f"rgb({front},{front},{front}) on rgb({back},{back},{back})")
    return line


def _bytes(row: Floats) -> list[int]:
    values: list[int] = np.rint(np.clip(row, 0, 1) * 255).astype(int).tolist()
    return values
