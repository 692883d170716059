"""The package order: each package imports only from itself and from earlier packages, and no import cycle exists."""

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

PACKAGES = (
    "errors",
    "system graph",
    "engine",
    "exercises",
    "config",
    "datasets",
    "models",
    "handwriting training",
    "runs",
    "sweeps",
    "reporting",
    "cli __main__",
)
"""Packages and modules below mlptrain, in the order in which they may import each other: only from earlier rows,
and from the same package."""

LIBRARIES = {
    "numpy": {"engine", "exercises", "datasets", "models", "handwriting", "training", "runs", "sweeps", "reporting"},
    "distributed": {"sweeps"},
    "dask": {"sweeps"},
    "onnx": {"models"},
    "optuna": {"sweeps"},
    "PIL": {"handwriting"},
    "platformdirs": {"datasets", "exercises"},
    "pydantic": {"config", "sweeps"},
    "pydantic_core": {"config"},
    "requests": {"datasets"},
    "rich": {"reporting"},
    "threadpoolctl": {"system"},
    "typer": {"cli"},
    "matplotlib": {"reporting"},
    "urllib3": {"datasets"},
    "yaml": {"config"},
}
"""The packages that may import each library."""
OPTIONAL = {
    "dask": "distributed",
    "distributed": "distributed",
    "matplotlib": "matplotlib",
    "onnx": "onnx",
    "optuna": "optuna",
    "PIL": "pillow",
}
"""Libraries that an extra installs, and the names under which it lists them."""


def module_name(path: Path) -> str:
    parts = path.relative_to(HOME.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in HOME.rglob("*.py")}


def statements(node: ast.AST, *, typing_only: bool) -> Iterator[ast.stmt]:
    """Yield every import, also those within functions; those below ``if TYPE_CHECKING`` only with ``typing_only``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif typing_only or not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from statements(child, typing_only=typing_only)


def imports(name: str, *, typing_only: bool = True) -> set[str]:
    """Return the modules that a module imports, ours by their full names."""
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


def package(name: str) -> str:
    """Return the package or module directly below mlptrain that a module belongs to; empty for mlptrain itself."""
    return name.split(".")[1] if "." in name else ""


def level(name: str) -> int:
    """Return the index of a module's row in `PACKAGES`."""
    rows = [index for index, packages in enumerate(PACKAGES) if package(name) in packages.split()]
    assert len(rows) == 1, f"{name} is in {len(rows)} rows of PACKAGES"
    return rows[0]


LAST = len(PACKAGES) - 1

MODULES = sorted(set(SOURCES) - {"mlptrain"})


def test_imports_are_found() -> None:
    assert {"mlptrain.config.config", "mlptrain.engine.network", "numpy"} <= imports("mlptrain.training.trainer")
    assert "mlptrain.reporting.gallery" in imports("mlptrain.cli.plot"), "also within functions"
    assert "mlptrain.reporting.progress" in imports("mlptrain"), "also for types"
    assert "mlptrain.reporting.progress" not in imports("mlptrain", typing_only=False)


@pytest.mark.parametrize("name", MODULES)
def test_packages_import_only_from_earlier_packages(name: str) -> None:
    mine = level(name)
    forbidden = {
        other
        for other in ours(imports(name)) - {"mlptrain"}
        if level(other) > mine or (level(other) == mine and package(other) != package(name) and mine < LAST)
    }
    assert not forbidden


def test_every_package_is_listed_once() -> None:
    packages = " ".join(PACKAGES).split()
    assert len(packages) == len(set(packages))
    assert {package(name) for name in MODULES} == set(packages)


def test_no_import_cycles() -> None:
    TopologicalSorter({name: ours(imports(name)) - {"mlptrain"} for name in MODULES}).prepare()


def test_the_root_holds_at_most_twenty_entries() -> None:
    assert len([path for path in HOME.iterdir() if path.name != "__pycache__"]) <= 20


def test_importing_mlptrain_imports_no_module_of_it() -> None:
    assert ours(imports("mlptrain", typing_only=False)) == set()


@pytest.mark.parametrize("name", [name for name in MODULES if package(name) == "engine"])
def test_the_engine_depends_on_numpy_alone(name: str) -> None:
    assert {other for other in ours(imports(name)) if package(other) != "engine"} == set()
    libraries = {other.partition(".")[0] for other in imports(name)} - sys.stdlib_module_names
    assert libraries <= {"numpy", "mlptrain"}


@pytest.mark.parametrize("name", ["mlptrain", *MODULES])
def test_libraries_are_imported_only_by_their_packages(name: str) -> None:
    tops = {other.partition(".")[0] for other in imports(name)}
    libraries = tops - sys.stdlib_module_names - {"__future__", "mlptrain"}
    assert not {library for library in libraries if package(name) not in LIBRARIES.get(library, ())}


def test_libraries_are_the_declared_dependencies() -> None:
    text = (HOME.parent / "pyproject.toml").read_text(encoding="utf-8")
    declared = re.search(r"^dependencies = \[(.*?)\]", text, re.DOTALL | re.MULTILINE)
    assert declared
    transitive = {"pydantic_core"}  # installed by pydantic, whose interface uses it
    always = LIBRARIES.keys() - transitive - OPTIONAL.keys()
    expected = {"pyyaml" if library == "yaml" else library for library in always}
    assert set(re.findall(r'"([a-z0-9]+)>=', declared[1])) == expected
    extras = text[text.index("[project.optional-dependencies]") :]
    assert set(OPTIONAL.values()) <= set(re.findall(r'"([a-z]+)>=', extras))


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith("mlptrain.reporting.plots")])
def test_optional_libraries_are_imported_within_functions(name: str) -> None:
    """Everywhere but in the modules that draw plots, which are imported only after the extra was found."""
    top_level = [
        node for node in ast.parse(SOURCES[name].read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    tops = {(node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name for node in top_level}
    assert not {top.partition(".")[0] for top in tops} & OPTIONAL.keys()


def test_the_list_of_commands_imports_no_command_and_no_large_library() -> None:
    code = "import sys; from mlptrain.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    loaded = set(done.stderr.split())
    assert done.returncode == 0 and "train" in done.stdout
    supporting = {f"mlptrain.cli{name}" for name in ("", ".commands", ".completion", ".program")}
    assert {name for name in loaded if name.startswith("mlptrain.cli")} == supporting
    assert not loaded & {"numpy", "pydantic", "requests", "threadpoolctl", "yaml"}
