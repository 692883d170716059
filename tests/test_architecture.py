"""The imports hold the order of the house: each row of files uses only itself and the rows above it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import mlptrain

HOME = Path(mlptrain.__file__).parent

ROWS = (
    "errors reports extras",
    "files lock signals threads memory caches streams",
    "values yamlfile overrides config schema complaints sharing",
    "datasets",
    "engine",
    "graph expression",
    "batching npz model handwriting prediction evaluation stack patience members footprint trainer lrfind inspection "
    "profiling",
    "history learning",
    "runs checkpoint saver",
    "export",
    "session job metrics",
    "sweeps",
    "reporting",
    "api",
    "cli __main__",
)
"""Modules and packages below mlptrain, the most basic first. The package itself stands above them all: it only
holds the version, and imports what it offers when it is asked for it."""

WITHOUT_NUMPY = (
    *("errors", "reports", "extras", "files", "lock", "signals", "threads", "memory", "caches"),
    *ROWS[2].split(),
)

LIBRARIES = {
    "numpy": {
        *(
            "streams",
            "datasets",
            "engine",
            "npz",
            "model",
            "handwriting",
            "prediction",
            "evaluation",
            "stack",
            "footprint",
            "patience",
            "trainer",
            "lrfind",
            "checkpoint",
            "job",
            "inspection",
            "export",
            "profiling",
            "sweeps",
            "reporting",
            "api",
        )
    },
    "distributed": {"sweeps"},
    "dask": {"sweeps"},
    "onnx": {"export"},
    "optuna": {"sweeps"},
    "PIL": {"handwriting"},
    "pydantic": {"config", "complaints", "sweeps"},
    "pydantic_core": {"config", "complaints"},
    "requests": {"datasets"},
    "rich": {"reporting"},
    "typer": {"cli"},
    "matplotlib": {"reporting"},
    "urllib3": {"datasets"},
    "yaml": {"yamlfile"},
}
"""Where each library is at home; what is not here is not a dependency."""
OPTIONAL = {
    "dask": "distributed",
    "distributed": "distributed",
    "matplotlib": "matplotlib",
    "onnx": "onnx",
    "optuna": "optuna",
    "PIL": "pillow",
}
"""Libraries that an extra brings, and the packages that hold them."""


def module_name(path: Path) -> str:
    parts = path.relative_to(HOME.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in HOME.rglob("*.py")}


def statements(node: ast.AST, *, typing_only: bool) -> Iterator[ast.stmt]:
    """Every import, also within functions; those below ``if TYPE_CHECKING`` only where asked for."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif typing_only or not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from statements(child, typing_only=typing_only)


def imports(name: str, *, typing_only: bool = True) -> set[str]:
    """The modules that a module imports, ours by their full names."""
    found = set()
    for statement in statements(ast.parse(SOURCES[name].read_text(encoding="utf-8")), typing_only=typing_only):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0 and statement.module, f"{name}: imports are absolute"
            for alias in statement.names:
                within = f"{statement.module}.{alias.name}"
                found.add(within if within in SOURCES else statement.module)
    return found


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] == "mlptrain"}


def place(name: str) -> str:
    """The file or package directly below mlptrain that a module belongs to; empty for mlptrain itself."""
    return name.split(".")[1] if "." in name else ""


def row(name: str) -> int:
    rows = [index for index, places in enumerate(ROWS) if place(name) in places.split()]
    assert len(rows) == 1, f"{name} stands in {len(rows)} rows of the table"
    return rows[0]


MODULES = sorted(set(SOURCES) - {"mlptrain"})


def test_the_reader_of_imports():
    assert {"mlptrain.config", "mlptrain.engine.network", "numpy"} <= imports("mlptrain.trainer")
    assert "mlptrain.api" in imports("mlptrain.cli.train"), "also within functions"
    assert "mlptrain.evaluation" in imports("mlptrain.reporting.evaluation"), "also for types"
    assert "mlptrain.evaluation" not in imports("mlptrain.reporting.evaluation", typing_only=False)


@pytest.mark.parametrize("name", MODULES)
def test_imports_come_from_rows_above(name):
    below = {other for other in ours(imports(name)) - {"mlptrain"} if row(other) > row(name)}
    assert not below


def test_the_table_holds_every_place_once():
    places = " ".join(ROWS).split()
    assert len(places) == len(set(places))
    assert {place(name) for name in MODULES} <= set(places)


def test_no_cycles():
    TopologicalSorter({name: ours(imports(name)) - {"mlptrain"} for name in MODULES}).prepare()


def test_the_package_imports_nothing_before_it_is_asked():
    assert ours(imports("mlptrain", typing_only=False)) == set()


@pytest.mark.parametrize("name", [name for name in MODULES if place(name) == "engine"])
def test_the_engine_knows_numpy_alone(name):
    assert {other for other in ours(imports(name)) if place(other) != "engine"} == set()
    libraries = {other.partition(".")[0] for other in imports(name)} - sys.stdlib_module_names
    assert libraries <= {"numpy", "mlptrain"}


@pytest.mark.parametrize("name", ["mlptrain", *MODULES])
def test_libraries_stay_where_they_are_at_home(name):
    tops = {other.partition(".")[0] for other in imports(name)}
    libraries = tops - sys.stdlib_module_names - {"__future__", "mlptrain"}
    strangers = {library for library in libraries if place(name) not in LIBRARIES.get(library, ())}
    assert not strangers


def test_libraries_are_the_declared_dependencies():
    text = (HOME.parent / "pyproject.toml").read_text(encoding="utf-8")
    declared = re.search(r"^dependencies = \[(.*?)\]", text, re.DOTALL | re.MULTILINE)
    assert declared
    brought_along = {"pydantic_core", "urllib3"}  # by pydantic and requests, whose interfaces speak of them
    always = LIBRARIES.keys() - brought_along - OPTIONAL.keys()
    expected = {"pyyaml" if library == "yaml" else library for library in always}
    assert set(re.findall(r'"([a-z]+)', declared[1])) == expected
    extras = text[text.index("[project.optional-dependencies]") :]
    assert set(OPTIONAL.values()) <= set(re.findall(r'"([a-z]+)>=', extras))


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith("mlptrain.reporting.figures")])
def test_optional_libraries_are_imported_within_functions(name):
    """The figures are matplotlib's throughout; they are imported by what has asked for the extra first."""
    above = [
        node for node in ast.parse(SOURCES[name].read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    tops = {(node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name for node in above}
    assert not {top.partition(".")[0] for top in tops} & OPTIONAL.keys()


@pytest.mark.parametrize("name", WITHOUT_NUMPY)
def test_no_numpy_below_what_is_read_before_the_threads_are_chosen(name):
    seen, ahead = set(), {f"mlptrain.{name}"}
    while ahead:
        current = ahead.pop()
        seen.add(current)
        found = imports(current, typing_only=False)
        assert "numpy" not in {other.partition(".")[0] for other in found}, current
        ahead |= ours(found) - seen - {"mlptrain"}


def test_the_command_line_starts_without_numpy():
    code = "import sys; from mlptrain.cli import main; main(['--help']); sys.exit('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "train" in done.stdout
