"""The section "Try it": a canvas on which people draw, and the network that classifies the drawing as they do.

The network and the script are part of the page, so that it needs no server. The script repeats the steps of
``mlptrain predict`` that matter for dark ink on white paper; a test compares the two.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from html import escape
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain.engine import activations
from mlptrain.errors import UsageError
from mlptrain.handwriting import digit, marks
from mlptrain.models.inspection import most_influential_units
from mlptrain.models.model import Model
from mlptrain.reporting.document import html_document
from mlptrain.system.files import write_text_atomic
from mlptrain.system.text import shell_word

MAX_PARAMETERS = 200_000  # of a network that is part of a report: 1.1 MB

MAX_UNITS = 200  # units of a layer that are shown

_NOTE = "The network runs on this page; nothing is sent."

_HOME = Path(__file__).parent

CSS = (_HOME / "try_it.css").read_text(encoding="utf-8")

_CONSTANTS = {
    digit: (
        *("MNIST_SIDE", "MNIST_BOX", "PAPER_INK", "FULL_INK", "EDGE_INK"),
        *("STROKE_PIXELS", "FINE_PIXELS", "TIE_PIXELS"),
    ),
    marks: ("MIN_INK", "MIN_MASS", "MAX_GAP"),
    activations: ("SELU_SCALE", "SELU_ALPHA", "LEAKY_RELU_SLOPE", "GELU_SCALE", "GELU_CUBIC"),
}
"""The constants that the script takes from each module."""


def write_html(path: Path, model: Model, metadata: Mapping[str, Any]) -> None:
    """Write a page on which people try ``model``.

    Raises
    ------
    UsageError
        The model is not one for square images.
    DataError
        The file cannot be written.
    """
    if not _has_square_images(model):
        raise UsageError(
            f"format html needs a model for square images (got {model.architecture.layers[0]} inputs)\n"
            "hint: export it with --format json"
        )
    sizes = "-".join(map(str, model.architecture.layers))
    data, accuracy = metadata["dataset"], metadata["test_accuracy"]
    facts = [
        f"{sizes} {model.architecture.activation}",
        *([f"trained on {data}"] if data else []),
        *([f"test accuracy {accuracy:.2%}"] if isinstance(accuracy, int | float) else []),
        str(metadata["made_by"]),
    ]
    body = f'<h1>{_invitation(model)}</h1>\n<p class="muted">{escape(", ".join(facts))}. {_NOTE}</p>\n{try_it(model)}'
    write_text_atomic(path, html_document(_invitation(model), [body], CSS))


def try_it_section(model: Model, run: str) -> str:
    """Return the section for the report of ``run``; for a large network, the command that exports it."""
    count = model.architecture.parameter_count
    if not _has_square_images(model):
        text = "Drawings can be classified only by a network for square images."
    elif count > MAX_PARAMETERS:
        command = escape(f"mlptrain export {shell_word(run)} --format html")
        text = f"The network has {count:,} parameters, too many for this page. Export a page of its own:"
        return f'<h2>Try it</h2><p>{text}</p><pre class="command">{command}</pre>'
    else:
        return f"<h2>Try it</h2><p>{_invitation(model)}. {_NOTE}</p>{try_it(model)}"
    return f'<h2>Try it</h2><p class="muted">{text}</p>'


def try_it(model: Model) -> str:
    """Return the canvas, what the network makes of a drawing, and the script; for one place on a page with `CSS`."""
    side = isqrt(model.architecture.layers[0])
    outputs = "Probabilities" if model.architecture.output == "softmax" else "Outputs"
    data = json.dumps(_describe(model)).replace("<", "\\u003c")  # no class name can end the element
    return f"""<div class="try-it">
<div class="draw"><h3>Draw</h3>
<div class="paper empty"><canvas width="420" height="420" tabindex="-1" role="img" aria-labelledby="try-it-invitation">
</canvas><span id="try-it-invitation">{_invitation(model)} with mouse, finger or pen</span></div></div>
<button type="button" class="clear">Clear<span> (Esc)</span></button>
<div class="seen"><h3>Input</h3><canvas role="img" aria-label="The drawing as the network sees it"></canvas>
<p class="muted">{side} × {side} pixels</p></div>
<p class="answer"><b role="status">?</b> <span></span></p>
<div class="outputs"><h3 id="try-it-outputs">{outputs}</h3><table aria-labelledby="try-it-outputs"></table></div>
<div class="layers"></div>
<script type="application/json" class="model">{data}</script>
</div>
<script>{script()}
tryIt(document.querySelector(".try-it"));
</script>"""


def script() -> str:
    """Return the functions of the page in JavaScript."""
    constants = {name: getattr(module, name) for module, names in _CONSTANTS.items() for name in names}
    functions = (_HOME / "try_it.js").read_text(encoding="utf-8")
    return f'"use strict";\nconst CONSTANTS = {json.dumps(constants)};\n{functions}'


def _describe(model: Model) -> dict[str, Any]:
    """Return what the script needs of a model, with the parameters as float32 in base64."""
    pairs = zip(model.weights, model.biases, strict=True)
    flat = np.concatenate([array.ravel() for pair in pairs for array in pair]).astype("<f4")
    hidden = [most_influential_units(model, layer, MAX_UNITS).tolist() for layer in range(len(model.weights) - 1)]
    return {
        "sizes": model.architecture.layers,
        "activation": model.architecture.activation,
        "output": model.architecture.output,
        "class_names": model.class_names,
        "shown": hidden or [list(range(len(model.class_names)))],
        "parameters": base64.b64encode(flat.tobytes()).decode(),
    }


def _has_square_images(model: Model) -> bool:
    inputs = model.architecture.layers[0]
    return isqrt(inputs) ** 2 == inputs


def _invitation(model: Model) -> str:
    names = model.class_names
    return "Draw a digit" if all(name.isdecimal() for name in names) else f"Draw one of the {len(names)} classes"
