from __future__ import annotations

import pytest

from mlptrain.errors import DataError, UsageError
from mlptrain.reporting.album import Picture
from mlptrain.reporting.gallery import pictures_of, write_pictures, write_report
from tests.reporting.figures.made import run, sweep

pytest.importorskip("matplotlib")


def picture(name: str, drawable: bool = True) -> Picture:
    def draw(*, narrow=False):
        from matplotlib.figure import Figure

        figure = Figure(layout="constrained")
        figure.subplots().plot([1, 2])
        return figure

    return Picture(name, name.title(), f"what {name} shows", draw if drawable else None)


PICTURES = [picture("one"), picture("two"), picture("none", drawable=False)]


def names(paths) -> list[str]:
    return [path.name for path in paths]


def test_whose_pictures_are_drawn(tmp_path):
    runs = tmp_path / "runs"
    first, second = run(tmp_path, "a"), run(tmp_path, "b", "learning_rate=0.5")
    folder, found = pictures_of(["a"], runs, tmp_path)
    assert folder == first and {"curves", "confusion"} <= {p.name for p in found}
    folder, found = pictures_of(["a", str(second)], runs, tmp_path)
    assert folder == first and len(found) == 1
    board = sweep(tmp_path)
    folder, found = pictures_of(["sweep"], runs, tmp_path)
    assert folder == board and len(found) == 3
    with pytest.raises(UsageError, match="a sweep is drawn by itself"):
        pictures_of(["a", "sweep"], runs, tmp_path)
    with pytest.raises(DataError, match="nobody"):
        pictures_of(["nobody"], runs, tmp_path)


def test_pictures_go_to_plots_and_what_cannot_be_drawn_is_told(tmp_path):
    paths, undrawn = write_pictures(PICTURES, tmp_path, None, "png", ())
    assert names(paths) == ["one.png", "two.png"] and paths[0].parent == tmp_path / "plots"
    assert [p.name for p in undrawn] == ["none"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")


def test_one_picture_goes_to_a_file(tmp_path):
    paths, undrawn = write_pictures(PICTURES, tmp_path, tmp_path / "new/x.SVG", "png", ["two"])
    assert paths == [tmp_path / "new/x.SVG"] and not undrawn
    assert b"<svg" in paths[0].read_bytes()
    (tmp_path / "folder.png").mkdir()  # a folder, whatever its name
    assert names(write_pictures(PICTURES, tmp_path, tmp_path / "folder.png", "svg", ())[0]) == ["one.svg", "two.svg"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ((None, "pdf", ()), UsageError, "expected png or svg"),
        ((None, "png", ["three"]), UsageError, "expected one of one, two, none"),
        (("x.png", "png", ()), UsageError, "one file for 2 pictures"),
        ((None, "png", ["none"]), DataError, "nothing to draw\nwhat none shows\n"),
        (("file/x.png", "png", ["one"]), DataError, "file: cannot be written"),
    ],
)
def test_what_is_refused(tmp_path, options, error, words):
    (tmp_path / "file").write_text("")
    output, *rest = options
    with pytest.raises(error, match=words):
        write_pictures(PICTURES, tmp_path, None if output is None else tmp_path / output, *rest)
    assert names(tmp_path.iterdir()) == ["file"]


def test_the_page_of_a_run_and_of_a_sweep(tmp_path):
    folder = run(tmp_path, "a")
    assert write_report("a", tmp_path / "runs", tmp_path, None) == (folder, folder / "report.html")
    board, path = write_report(str(sweep(tmp_path)), tmp_path / "runs", tmp_path, tmp_path / "new/page.html")
    assert board.name == "sweep" and path == tmp_path / "new/page.html"
    for page in (folder / "report.html", path):
        text = page.read_text(encoding="utf-8")
        assert text.startswith("<!DOCTYPE html>") and text.rstrip().endswith("</html>")
