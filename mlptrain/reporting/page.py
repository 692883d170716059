"""The HTML report of a run: one self-contained page, with plots as SVG in the colours of the page, and its parts."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from mlptrain.config.config import dump_yaml
from mlptrain.config.values import flow
from mlptrain.models.evaluation import Evaluation
from mlptrain.reporting import try_it
from mlptrain.reporting.document import html_document
from mlptrain.reporting.gallery import Plot, inspect_run, run_plots
from mlptrain.reporting.plots.images import ImageGrid
from mlptrain.reporting.plots.panels import Panels, draw_sample
from mlptrain.reporting.plots.style import GRID, INK, MUTED, PAPER, SERIES, Draw, rendered
from mlptrain.reporting.text import counted, duration, shortened
from mlptrain.runs.files import CONFIG
from mlptrain.runs.finished import RunView
from mlptrain.runs.folder import resume_command
from mlptrain.system.text import shell_word

MAX_PAIRS = 5

MAX_FACT = 24  # characters

PIXELS_PER_INCH = 96

_LIBRARIES = {"mlptrain": "mlptrain", "NumPy": "numpy", "Python": "python"}

MIN_SCALE, MAX_SCALE = 0.68, 1.4  # of a plot

_COLORS = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PAPER: "paper",
    **{color: f"s{i}" for i, color in enumerate(SERIES, start=1)},
}

_DROPPED = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>| xmlns(:\w+)?=\"[^\"]*\"", re.DOTALL)

_STYLE = re.compile(r"<style type=\"text/css\">.*?</style>", re.DOTALL)

_IDS = re.compile(r"(\bid=\"|url\(#|href=\"#)")

_SIZE = re.compile(r" (?:height|width)=\"([\d.]+)pt\"")


def inline_svg(draw: Draw, name: str, label: str) -> str:
    """Return a plot as an ``<svg>`` element; ``name`` makes its ids distinct from those of other plots on the page.

    A plot without a ``label`` is decoration.
    """
    text = rendered(draw, "svg", inline=True).decode()
    text = _STYLE.sub("", _DROPPED.sub("", text))
    text = _IDS.sub(lambda match: f"{match[1]}{name}-", text)
    for color, variable in _COLORS.items():
        text = text.replace(color, f"var(--{variable})")
    text = text.replace("'DejaVu Sans'", "var(--font)")
    head, body = text[: text.index(">")], text[text.index(">") :]
    width = float(head.split('width="')[1].split("pt")[0]) * 4 / 3
    style = f"max-width:{MAX_SCALE * width:.0f}px"
    role = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    head = _SIZE.sub("", head).strip().replace("<svg", f'<svg style="{style}" {role}')
    return head + body


_CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def run_page(view: RunView, data_dir: Path) -> str:
    """Return the page of a run.

    Raises
    ------
    DataError
        The dataset of the run is missing.
    """
    return html_page(str(view.path), [*run_sections(view, data_dir)])


def run_sections(view: RunView, data_dir: Path) -> Iterable[str]:
    """Yield the parts of the page of a run, beginning with its result."""
    config, metrics, found = view.config, view.metrics, inspect_run(view, data_dir)
    seconds = metrics.get("seconds")
    layers = "-".join(map(str, view.model.architecture.layers)) if view.model else f"hidden {flow(config.hidden)}"
    summary = f"{layers} {config.activation}, {config.loss}, {config.optimizer}, on {config.dataset}"
    yield f'<p class="summary">{escape(summary)}</p>'
    yield tiles(
        [
            _result(view),
            ("test loss", number_text(metrics.get("test_loss"))),
            ("validation accuracy", number_text(metrics.get("val_accuracy"), ".2%")),
            ("epochs", str(metrics.get("epochs", len(view.history.epochs)))),
            ("parameters", number_text(metrics.get("parameters"), ",")),
            ("training", duration(seconds) if isinstance(seconds, int | float) else "–"),
        ]
    )
    trained = ", ".join([*_finished(metrics), *_machine(metrics)])
    yield f"<p>Trained: {escape(trained)}.</p>" if trained else ""
    yield f"<p>{command_title(view)}:</p>" + command_block(train_command(view))
    yield heading("Diagnosis") + diagnosis_box(view)
    yield from plot_sections(run_plots(view, found), found.evaluation if found else None)
    yield heading("Configuration")
    yield '<p class="muted">To repeat the run on another machine, save this as config.yaml and train it.</p>'
    parts = dump_yaml(config).rstrip().split("\n\n")
    yield '<pre class="config">' + "".join(f"<span>{escape(part)}\n</span>" for part in parts) + "</pre>"
    yield heading("Environment") + _environment(metrics)
    if view.model:
        yield try_it.try_it_section(view.model, str(view.path))


def _result(view: RunView) -> tuple[str, str]:
    if not view.metrics:
        return "no test accuracy", state_of(view)
    return "test accuracy", number_text(view.metrics.get("test_accuracy"), ".2%")


def state_of(view: RunView) -> str:
    """Return why a run has no metrics."""
    return "not finished" if _is_unfinished(view) else f"diverged in epoch {view.history.diverged}"


def _is_unfinished(view: RunView) -> bool:
    return not view.metrics and view.history.diverged is None


def command_title(view: RunView) -> str:
    """Return what `train_command` does."""
    return "Resume the run" if _is_unfinished(view) else "Repeat the run"


def train_command(view: RunView) -> str:
    """Return the command that repeats a run, or resumes one that is not finished."""
    if _is_unfinished(view):
        folder = view.path.parent
        options = {"--run": view.path.name, "--resume": True, "--runs-dir": None if folder == Path("runs") else folder}
        return resume_command("train", view.path / CONFIG, options)
    threads = view.metrics.get("threads")
    return f"mlptrain train {shell_word(view.config_file)}" + (f" --threads {threads}" if threads else "")


def diagnosis_box(view: RunView) -> str:
    """Return the diagnosis of a run, with its evidence and the command to try."""
    found = view.diagnosis
    command = found.command(view.config_file)
    evidence = "".join(f"<li>{escape(text)}</li>" for text in found.evidence)
    tries = f"<p>Try:</p>{command_block(command)}" if command else "<p>Nothing needs to change.</p>"
    return f'<div class="diagnosis"><b>{escape(found.title)}</b><ul>{evidence}</ul>{tries}</div>'


def _finished(metrics: Mapping[str, Any]) -> Iterable[str]:
    with suppress(ValueError, TypeError):  # a file of an older version, or one that was edited
        time = datetime.fromisoformat(metrics.get("finished"))  # type: ignore[arg-type]
        yield f"{time.day} {time:%B %Y, %H:%M}"


def _machine(metrics: Mapping[str, Any]) -> Iterable[str]:
    machine = metrics.get("machine")
    if isinstance(machine, dict):
        cores = machine.get("cores")
        yield str(machine.get("processor"))
        yield f"{cores} {'core' if cores == 1 else 'cores'}"
        yield str(machine.get("system"))


def _environment(metrics: Mapping[str, Any]) -> str:
    versions, stopped, speed = metrics.get("versions"), metrics.get("stopped"), metrics.get("samples_per_second")
    known = versions if isinstance(versions, dict) else {}
    facts = {
        **{name: known.get(key) for name, key in _LIBRARIES.items()},
        "BLAS threads": metrics.get("threads"),
        "Speed": None if speed is None else number_text(speed, ",", " images per second"),
        "Stopped early by": str(stopped).replace("_", " ") if stopped else None,
        "Digest of the data": metrics.get("data_fingerprint"),
        "Digest of the split": metrics.get("split_fingerprint"),
    }
    if not any(facts.values()):
        return "<p>Not recorded: the run has not finished.</p>"
    return fact_list([(name, shortened(str(fact), MAX_FACT)) for name, fact in facts.items() if fact])


def plot_sections(plots: Sequence[Plot], evaluation: Evaluation | None = None) -> Iterable[str]:
    """Yield a section for each plot, the ``evaluation`` beside the confusion matrix, and why plots are missing.

    A plot with a single panel, which would fill half of the width, is beside the plot before it.
    """
    sections: list[list[str]] = []
    for plot in plots:
        if plot.draw is not None:
            body = plot_body(plot)
            if evaluation is not None and plot.name == "confusion":
                body = f'<div class="pair"><div>{class_table(evaluation)}</div>{body}</div>'
            section = f'<section>{heading(plot.title)}<p class="muted">{escape(plot.caption)}</p>{body}</section>'
            if sections and isinstance(plot.draw, Panels) and sum(map(len, plot.draw.rows)) == 1:
                sections[-1].append(section)
            else:
                sections.append([section])
    for group in sections:
        yield group[0] if len(group) == 1 else f'<div class="pair">{"".join(group)}</div>'
    for reason in dict.fromkeys(plot.caption for plot in plots if plot.draw is None):
        yield f'<p class="muted">{escape(reason)}</p>'


def plot_body(plot: Plot) -> str:
    """Return a plot that the browser can arrange: panels and images one by one, other plots as a whole."""
    match plot.draw:
        case None:
            return ""
        case Panels() as panels:
            rows = [_panel_row(plot, panels, number) for number in range(len(panels.rows))]
            return "".join(rows) + _legend(panels.legend, plot.name)
        case ImageGrid() as grid:
            return _images(grid)
        case draw:
            return f'<div class="plot">{inline_svg(draw, plot.name, plot.title)}</div>'


def _panel_row(plot: Plot, panels: Panels, row: int) -> str:
    drawn = (
        inline_svg(partial(panels.draw_panel, panel), f"{plot.name}-{row}-{number}", plot.title)
        for number, panel in enumerate(panels.rows[row])
    )
    least, columns = MIN_SCALE * panels.width * PIXELS_PER_INCH, len(panels.rows[row])
    return f'<div class="panels" style="--columns:{columns};--least:{least:.0f}px">{"".join(drawn)}</div>'


def _legend(legend: Sequence[tuple[str, Mapping[str, Any]]], name: str) -> str:
    samples = (
        f"<span>{inline_svg(partial(draw_sample, style), f'{name}-sample-{number}', '')}{escape(label)}</span>"
        for number, (label, style) in enumerate(legend)
    )
    return f'<p class="legend">{"".join(samples)}</p>' if legend else ""


def _images(grid: ImageGrid) -> str:
    kind = ' class="ink"' if grid.cmap == "gray_r" else ""
    tiles = []
    for index, caption in enumerate(grid.captions):
        data = base64.b64encode(grid.png(index)).decode()
        lines = "<br>".join(map(escape, caption.split("\n")))
        image = f'<img{kind} alt="" src="data:image/png;base64,{data}">'
        tiles.append(f"<figure>{image}<figcaption>{lines}</figcaption></figure>")
    half = max(1, round(math.sqrt(1.4 * len(tiles))))  # columns where the images have half of the width
    return f'<div class="images" style="--columns:{grid.columns};--half:{half}">{"".join(tiles)}</div>'


def class_table(evaluation: Evaluation) -> str:
    """Return precision, recall, F1 and the number of images per class, and the most frequent mistakes."""
    rows = [
        [each.label, f"{each.precision:.4f}", f"{each.recall:.4f}", f"{each.f1:.4f}", f"{each.support:,}"]
        for each in evaluation.per_class
    ]
    table = html_table(("class", "precision", "recall", "F1", "images"), rows, "wide numbers")
    pairs = [
        f"<li>{escape(true)} predicted as {escape(predicted)}: {counted(count, 'time')}</li>"
        for true, predicted, count in evaluation.confused_pairs(MAX_PAIRS)
    ]
    return table + (f"<h3>Most confused</h3><ol>{''.join(pairs)}</ol>" if pairs else "")


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]], css_class: str = "") -> str:
    """Return a table that scrolls in a box of its own if it is too wide."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    lines = ("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table class="{css_class}"><tr>{head}</tr>{"".join(lines)}</table></div>'


def heading(text: str) -> str:
    """Return the heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def code_block(text: str) -> str:
    """Return a text whose lines are not wrapped."""
    return f"<pre>{escape(text)}</pre>"


def command_block(text: str) -> str:
    """Return a command to copy, wrapped where it is too long."""
    return f'<pre class="command">{escape(text)}</pre>'


def tiles(facts: Sequence[tuple[str, str]]) -> str:
    """Return a row of the most important values, each above its name."""
    cells = "".join(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in facts)
    return f'<div class="tiles">{cells}</div>'


def fact_list(facts: Sequence[tuple[str, str]], css_class: str = "facts") -> str:
    """Return names and values in as many columns as fit."""
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in facts)
    return f'<dl class="{css_class}">{cells}</dl>'


def number_text(value: object, form: str = ".4f", unit: str = "") -> str:
    """Return a value of a file that may have been edited; a dash if it is not a number."""
    return format(value, form) + unit if isinstance(value, int | float) else "–"


def html_page(title: str, sections: Sequence[str], css: str = "") -> str:
    """Return a page under ``title``; ``css`` follows the style of the report of a run."""
    return html_document(title, [f"<h1>{escape(title)}</h1>", *sections], _CSS + try_it.CSS + css)
