"""Mutation testing of the engine: small changes to its source, one at a time, that its tests should detect.

    python -m tests.stress.mutation optimizers --minutes 20
    python -m tests.stress.mutation all --sample 100

A mutant changes one operator, comparison, number, condition or statement of a module of ``mlptrain/engine``. For each
one, a forked process imports the changed module in place of the real one and runs ``tests/engine``, the module's own
tests first, until a test fails (killed) or all pass (survived). A mutant that takes five times as long as the tests
counts as killed. The exit code is 1 if fewer than 90 % are killed; tests/stress/MUTATION.md explains the survivors.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib.abc
import importlib.machinery
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

ROOT = Path(__file__).parents[2]

ENGINE = ROOT / "mlptrain" / "engine"

TESTS = ROOT / "tests" / "engine"

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """Return the possible replacements of a node."""
    other: Any
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in _SWAPS:
        other = copy.deepcopy(node)
        other.op = _SWAPS[type(node.op)]()
        yield other
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS:
        other = copy.deepcopy(node)
        other.ops[0] = _SWAPS[type(node.ops[0])]()
        yield other
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.copy_location(ast.Constant(not node.value), node)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.copy_location(ast.Constant(node.value + 1), node)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        yield copy.deepcopy(node.operand)
    if isinstance(node, ast.IfExp | ast.If | ast.While):
        other = copy.deepcopy(node)
        other.test = ast.copy_location(ast.UnaryOp(ast.Not(), other.test), node)
        yield other
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    if is_call or isinstance(node, ast.AugAssign):
        yield ast.copy_location(ast.Pass(), node)


def mutants(tree: ast.Module) -> Iterator[tuple[int, str, str, ast.Module]]:
    """Yield every mutant of a module: line, original code, mutated code, and the whole tree."""
    left_out = {id(inner) for node in ast.walk(tree) for inner in _left_out(node)}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in left_out:
            continue
        for other in changed(node):
            whole = copy.deepcopy(tree)
            place = next(twin for index, twin in enumerate(ast.walk(whole)) if index == number)
            _Replace(place, other).visit(whole)
            yield node.lineno, ast.unparse(node), ast.unparse(other), ast.fix_missing_locations(whole)  # type: ignore[attr-defined]


def _left_out(node: ast.AST) -> Iterator[ast.AST]:
    """Return the nodes that are not mutated because it would change nothing.

    These are annotations, ``strict`` of zip, and the −1 of a reshape.
    """
    if isinstance(node, ast.keyword) and node.arg == "strict":
        yield from ast.walk(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reshape":
        yield from (size.operand for size in node.args if isinstance(size, ast.UnaryOp))
    for name in ("annotation", "returns"):
        if (below := getattr(node, name, None)) is not None:
            yield from ast.walk(below)


class _Replace(ast.NodeTransformer):
    def __init__(self, place: ast.AST, other: ast.AST) -> None:
        self.place, self.other = place, other

    def visit(self, node: ast.AST) -> ast.AST:
        return self.other if node is self.place else super().generic_visit(node)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """An import hook that returns the mutant instead of the module."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin=str(self.path))

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(self.path)
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)


def survives(module: str, tree: ast.Module | None, limit: float) -> bool:
    """Return whether the engine's tests pass with ``tree`` as the module (None: unchanged) within ``limit`` seconds."""
    import numpy  # noqa: F401  (once, not in every child)
    import pytest

    with contextlib.suppress(ImportError):
        import torch  # noqa: F401  (likewise)

    child = os.fork()
    if child == 0:
        os.setsid()
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        if tree is not None:
            sys.meta_path.insert(0, _Finder(f"mlptrain.engine.{module}", ENGINE / f"{module}.py", tree))
        own = TESTS / f"test_{module}.py"
        files = [*([own] if own.exists() else []), *(path for path in sorted(TESTS.glob("test_*.py")) if path != own)]
        # Without addopts: workers of their own would import the module as it is.
        options = ["-o", "addopts=", "-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
        code = 1
        try:
            code = int(pytest.main([*options, *map(str, files)]))
        finally:
            os._exit(code)
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main() -> int:
    """Test the mutants of one or all modules and list those that survive."""
    names = sorted(path.stem for path in ENGINE.glob("*.py") if path.stem != "__init__")
    parser = argparse.ArgumentParser(description="Mutation testing of the engine.")
    parser.add_argument("modules", nargs="+", choices=[*names, "all"], metavar="MODULE", help=", ".join(names))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--sample", type=int, help="try so many of each module's mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lines", type=int, nargs="+", help="only mutants of these lines")
    arguments = parser.parse_args()
    began = time.monotonic()
    if not survives("network", None, 600):
        sys.exit("the tests do not pass as it is")
    usual = time.monotonic() - began
    tried = killed = 0
    for name in names if "all" in arguments.modules else arguments.modules:
        found = list(mutants(ast.parse((ENGINE / f"{name}.py").read_text(encoding="utf-8"))))
        if arguments.lines:
            found = [mutant for mutant in found if mutant[0] in arguments.lines]
        random.Random(arguments.seed).shuffle(found)
        here = killed_here = 0
        for line, before, after, tree in found[: arguments.sample]:
            if time.monotonic() - began > arguments.minutes * 60:
                break
            here += 1
            if survives(name, tree, 5 * usual + 10):
                print(f"survived {name}.py:{line}: {_one_line(before)}  ->  {_one_line(after)}", flush=True)
            else:
                killed_here += 1
        print(f"{name}: {killed_here} of {here} killed ({len(found)} mutants in all)", flush=True)
        tried, killed = tried + here, killed + killed_here
    print(f"{killed} of {tried} killed: {killed / max(1, tried):.1%}")
    return int(killed < 0.9 * tried)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else line[:87] + "..."


if __name__ == "__main__":
    sys.exit(main())
