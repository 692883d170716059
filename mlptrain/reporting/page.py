"""The HTML report of a run: one self-contained page, with plots as SVG in the colours of the page, and its parts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from mlptrain.config.config import dump_yaml
from mlptrain.config.values import flow
from mlptrain.reporting import try_it
from mlptrain.reporting.document import html_document
from mlptrain.reporting.gallery import Plot, run_plots
from mlptrain.reporting.plots.style import GRID, INK, MUTED, PAPER, SERIES, Draw, rendered
from mlptrain.runs.finished import RunView

MIN_SCALE = 0.68  # of a plot in a narrow window; a plot that is still too wide scrolls

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
    """Return a plot as an ``<svg>`` element; ``name`` makes its ids distinct from those of other plots on the page."""
    text = rendered(draw, "svg", inline=True).decode()
    text = _STYLE.sub("", _DROPPED.sub("", text))
    text = _IDS.sub(lambda match: f"{match[1]}{name}-", text)
    for color, variable in _COLORS.items():
        text = text.replace(color, f"var(--{variable})")
    text = text.replace("'DejaVu Sans'", "var(--font)")
    head, body = text[: text.index(">")], text[text.index(">") :]
    width = float(head.split('width="')[1].split("pt")[0]) * 4 / 3
    style = f"max-width:{width:.0f}px;min-width:{MIN_SCALE * width:.0f}px"
    head = _SIZE.sub("", head).strip().replace("<svg", f'<svg style="{style}" role="img" aria-label="{escape(label)}"')
    return head + body


_CSS = """
.tiles{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0}
.tiles div{background:var(--card);border-radius:.5rem;padding:.5rem .9rem;flex:1 1 8rem}
.tiles b{display:block;font-size:1.35rem}
.diagnosis{background:var(--card);border-left:.3rem solid var(--accent);border-radius:.3rem;padding:.6rem 1rem}
.diagnosis ul{margin:.3rem 0;padding-left:1.2rem}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));gap:1.5rem;align-items:start}
.plot{overflow-x:auto}
svg{display:block;width:100%;height:auto;margin-top:.4rem}
svg *{stroke-linejoin:round;stroke-linecap:butt}
pre{background:var(--card);padding:.7rem 1rem;border-radius:.4rem;overflow-x:auto;font-size:.85rem;line-height:1.45}
pre.command{white-space:pre-wrap;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
td:last-child{overflow-wrap:anywhere}
.scroll td{white-space:nowrap}
@media print{.plots{display:block}figure{break-inside:avoid;margin-bottom:1rem}}
"""


def run_page(view: RunView, data_dir: Path) -> str:
    """Return the page of a run.

    Raises
    ------
    DataError
        The dataset of the run is missing.
    """
    return html_page(str(view.path), [*run_sections(view, data_dir)])


def run_sections(view: RunView, data_dir: Path) -> Iterable[str]:
    config, metrics, found = view.config, view.metrics, view.diagnosis
    layers = "-".join(map(str, view.model.architecture.layers)) if view.model else f"hidden {flow(config.hidden)}"
    summary = f"{layers} {config.activation}, {config.loss}, {config.optimizer}, on {config.dataset}"
    yield f'<p class="muted">{escape(summary)}</p>'
    yield tiles(
        [
            ("test accuracy", number_text(metrics.get("test_accuracy"))),
            ("test loss", number_text(metrics.get("test_loss"))),
            ("validation accuracy", number_text(metrics.get("val_accuracy"))),
            ("epochs", str(metrics.get("epochs", len(view.history.epochs)))),
            ("parameters", number_text(metrics.get("parameters"), ",")),
            ("training", number_text(metrics.get("seconds"), ".1f") + " s"),
        ]
    )
    command = found.command(view.config_file)
    evidence = "".join(f"<li>{escape(text)}</li>" for text in found.evidence)
    tries = f"<p>Try:</p>{command_block(command)}" if command else "<p>Nothing needs to change.</p>"
    yield f'{heading("Diagnosis")}<div class="diagnosis"><b>{escape(found.title)}</b><ul>{evidence}</ul>{tries}</div>'
    yield plot_section(run_plots(view, data_dir))
    threads = metrics.get("threads")
    again = f"mlptrain train {shlex.quote(view.config_file)}" + (f" --threads {threads}" if threads else "")
    yield heading("Reproduce")
    yield command_block(again)
    yield '<p class="muted">On another machine: save the config below as config.yaml and train it.</p>'
    yield heading("Config") + code_block(dump_yaml(config))
    yield heading("Environment") + _environment(view)
    if view.model:
        yield try_it.try_it_section(view.model, str(view.path))


def _environment(view: RunView) -> str:
    versions = view.metrics.get("versions")
    rows = [*versions.items()] if isinstance(versions, dict) else []
    keys = ("threads", "samples_per_second", "stopped", "data_fingerprint", "split_fingerprint")
    rows += [(key, view.metrics[key]) for key in keys if view.metrics.get(key) is not None]
    if not rows:
        return "<p>Not recorded: the run has not finished.</p>"
    cells = "".join(f"<tr><th>{escape(str(key))}</th><td>{escape(str(value))}</td></tr>" for key, value in rows)
    return f"<table>{cells}</table>"


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    lines = ("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def plot_section(plots: Sequence[Plot]) -> str:
    """Return the plots with titles and captions, then each distinct reason why a plot is missing."""
    drawn = [
        f"<figure><h3>{escape(plot.title)}</h3><figcaption>{escape(plot.caption)}</figcaption>"
        f'<div class="plot">{inline_svg(plot.draw, plot.name, plot.title)}</div></figure>'
        for plot in plots
        if plot.draw is not None
    ]
    reasons = dict.fromkeys(plot.caption for plot in plots if plot.draw is None)
    notes = "".join(f'<p class="muted">{escape(reason)}</p>' for reason in reasons)
    return f'{heading("Plots")}<div class="plots">{"".join(drawn)}</div>{notes}'


def heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def code_block(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def command_block(text: str) -> str:
    return f'<pre class="command">{escape(text)}</pre>'


def tiles(tiles: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in tiles)
    return f'<div class="tiles">{cells}</div>'


def number_text(value: object, form: str = ".4f") -> str:
    """Return a value of a file that may have been edited; a dash if it is not a number."""
    return format(value, form) if isinstance(value, int | float) else "–"


def html_page(title: str, sections: Sequence[str], css: str = "") -> str:
    """Return a page under ``title``; ``css`` follows the style of the report of a run."""
    return html_document(title, [f"<h1>{escape(title)}</h1>", *sections], _CSS + try_it.CSS + css)
