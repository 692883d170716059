"""An image drawn in the terminal: two rows of pixels a line, in half-block characters."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.text import Text

from mlptrain.reporting.text import printable

INK = 0.35  # brightness from which a pixel is drawn where there are no shades
RAMP = " .:-=+*#%@"
_BLOCKS = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def draw(image: np.ndarray, console: Console) -> list[Text]:
    """``image`` (height, width) in [0, 1], light on dark, as lines of ``width`` characters.

    With 256 colours or more in shades of grey, without them black and white, without such characters in ASCII.
    """
    if image.shape[0] % 2:
        image = np.vstack([image, np.zeros_like(image[:1])])
    pairs = list(zip(image[::2], image[1::2], strict=True))
    if printable("▀▄█", console.encoding) != "▀▄█":
        return [Text("".join(RAMP[round(9 * float(value))] for value in (upper + lower) / 2)) for upper, lower in pairs]
    if console.no_color or console.color_system in (None, "standard"):
        return [Text("".join(map(_block, upper > INK, lower > INK))) for upper, lower in pairs]
    return [_shades(upper, lower) for upper, lower in pairs]


def _block(upper: object, lower: object) -> str:
    return _BLOCKS[bool(upper), bool(lower)]


def _shades(upper: np.ndarray, lower: np.ndarray) -> Text:
    """The brighter half in front, so that the digit can still be read where the colours are lost."""
    line = Text()
    for above, below in zip(_bytes(upper), _bytes(lower), strict=True):
        front, back = max(above, below), min(above, below)
        block = ("█" if front > INK * 255 else " ") if front == back else "▀" if above > below else "▄"
        line.append(block, f"rgb({front},{front},{front}) on rgb({back},{back},{back})")
    return line


def _bytes(row: np.ndarray) -> list[int]:
    values: list[int] = np.rint(np.clip(row, 0, 1) * 255).astype(int).tolist()
    return values
