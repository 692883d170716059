"""The pictures of what the user names, and where they are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlptrain.errors import DataError, UsageError
from mlptrain.files import reason, write_text_atomic
from mlptrain.reporting.album import Picture, comparison, run_pictures, sweep_pictures
from mlptrain.reporting.figures.style import FORMATS, save
from mlptrain.reporting.page import run_page, sweep_page
from mlptrain.reporting.runview import view_run
from mlptrain.reporting.sweepview import find_sweep, view_sweep
from mlptrain.runs import find_run

PLOTS, REPORT = "plots", "report.html"


def pictures_of(names: Sequence[str], runs_dir: Path, data_dir: Path) -> tuple[Path, list[Picture]]:
    """The folder that pictures go to by default, and the pictures: of a sweep, of a run, or of several runs together.

    Raises
    ------
    DataError, UsageError
        A folder is missing or damaged, or a sweep is named beside something else.
    """
    sweeps = [path for name in names if (path := find_sweep(name, runs_dir)) is not None]
    if sweeps and len(names) > 1:
        raise UsageError(f"{sweeps[0]}: a sweep is drawn by itself; name it alone, or name runs")
    if sweeps:
        return sweeps[0], sweep_pictures(view_sweep(sweeps[0]))
    views = [view_run(find_run(name, runs_dir)) for name in names]
    if len(views) > 1:
        return views[0].path, [comparison(views)]
    return views[0].path, run_pictures(views[0], data_dir)


def write_pictures(
    pictures: Sequence[Picture], folder: Path, output: Path | None, form: str, only: Sequence[str]
) -> tuple[list[Path], list[Picture]]:
    """Write pictures to ``output`` (a folder or a file), by default ``folder``/plots; also those not to be drawn.

    Raises
    ------
    UsageError
        An unknown format or name, or several pictures for one file.
    DataError
        There is nothing to draw, or a file cannot be written.
    """
    if form not in FORMATS:
        raise UsageError(f"--format {form!r}: expected {' or '.join(FORMATS)}")
    names = [picture.name for picture in pictures]
    for name in only:
        if name not in names:
            raise UsageError(f"--only {name!r}: expected one of {', '.join(names)}")
    chosen = [picture for picture in pictures if not only or picture.name in only]
    drawn = [picture for picture in chosen if picture.draw is not None]
    if not drawn:
        raise DataError(f"{folder}: nothing to draw\n{chosen[0].caption}\n`mlptrain diagnose {folder}` says more")
    paths = _paths(drawn, folder / PLOTS if output is None else output, form)
    for picture, path in zip(drawn, paths, strict=True):
        assert picture.draw is not None
        save(picture.draw, path, (picture.title, picture.caption))
    return paths, [picture for picture in chosen if picture.draw is None]


def _paths(pictures: Sequence[Picture], output: Path, form: str) -> list[Path]:
    """The file of each picture, whose folder is made."""
    to_file = output.suffix.lower()[1:] in FORMATS and not output.is_dir()
    if to_file and len(pictures) > 1:
        raise UsageError(f"--output {output}: one file for {len(pictures)} pictures; name a folder, or add --only NAME")
    folder = output.parent if to_file else output
    _make_folder(folder)
    return [output if to_file else folder / f"{picture.name}.{form}" for picture in pictures]


def write_report(name: str, runs_dir: Path, data_dir: Path, output: Path | None) -> tuple[Path, Path]:
    """Write the page of a run or a sweep, by default into its folder; return that folder and where the page is.

    Raises
    ------
    DataError
        The folder or its data is missing or damaged, or the page cannot be written.
    """
    sweep = find_sweep(name, runs_dir)
    if sweep is not None:
        page, folder = sweep_page(view_sweep(sweep), data_dir), sweep
    else:
        folder = find_run(name, runs_dir)
        page = run_page(view_run(folder), data_dir)
    path = folder / REPORT if output is None else output
    _make_folder(path.parent)
    write_text_atomic(path, page)
    return folder, path


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {reason(error)}; choose another --output") from error
