"""Mutation testing: change one thing in a loss, and count how often a test notices.

    python -m tools.mutants [MODULE ...]

Cosmic Ray's operators make the mutants (signs, factors, comparisons, numbers, decorators); one
more swaps names that are easily confused (mean for sum, max for min). Each mutant runs the tests
of its module in a fork of this process, so that torch is imported once and no file is touched.
Survivors that no test can tell from the original stand in tests/losses/equivalent_mutants.md with
the reason. Settings: [tool.mutants] in pyproject.toml.
"""

import contextlib
import difflib
import gc
import importlib
import os
import re
import signal
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path

import cosmic_ray.plugins
import parso
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutants"]
EQUIVALENT = ROOT / "tests/losses/equivalent_mutants.md"
SWAPS = {
    "all": "any",
    "amax": "amin",
    "clone": "detach",
    "log1p": "log",
    "max": "min",
    "maximum": "minimum",
    "mean": "sum",
    "ones": "zeros",
    "ones_like": "zeros_like",
    "triu": "tril",
}
SWAPS |= {new: old for old, new in SWAPS.items()} | {"relu": "abs", "softplus": "relu"}


# Nothing that costs time and tells a failure no better: no plugins, no rewritten assertions.
OPTIONS = [
    *("-x", "-q", "--assert=plain", "--tb=no", "--disable-plugin-autoload"),
    *("-p", "no:unraisableexception", "-p", "no:threadexception", "-p", "no:doctest"),
    *("-o", "addopts=--import-mode=importlib"),
]


class SwapNames(Operator):
    """A function or keyword for its counterpart, and "mean" for "sum"."""

    def mutation_positions(self, node: parso.tree.NodeOrLeaf) -> Iterator[tuple]:
        if self._swapped(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: parso.tree.NodeOrLeaf, index: int) -> parso.tree.NodeOrLeaf:
        return type(node)(self._swapped(node), node.start_pos, prefix=node.prefix)

    def _swapped(self, node: parso.tree.NodeOrLeaf) -> str | None:
        if node.type == "string":
            return {'"mean"': '"sum"', '"sum"': '"mean"'}.get(node.value)
        return SWAPS.get(node.value) if node.type == "name" else None

    @classmethod
    def examples(cls) -> tuple:
        return ()


@dataclass(frozen=True)
class Mutant:
    """One changed line of a module."""

    code: str
    line: int
    old: str
    new: str

    def __str__(self) -> str:
        return f"`{self.old}` → `{self.new}`"


def mutants(source: str) -> list[Mutant]:
    """Every mutant of a module's source, in the order of its lines, none of them twice."""
    pattern = re.compile("|".join(SETTINGS["operators"]))
    names = filter(pattern.fullmatch, cosmic_ray.plugins.operator_names())
    operators = [cosmic_ray.plugins.get_operator(name)() for name in names]
    found: dict[str, Mutant] = {}
    for operator in [*operators, SwapNames()]:
        positions = (n for n in ast_nodes(get_ast(source)) for _ in operator.mutation_positions(n))
        for occurrence, node in enumerate(positions):
            code = mutate_code(source, operator, occurrence)
            if code not in (None, source) and not in_annotation(node) and not large(node):
                found.setdefault(code, described(source, code))
    return sorted(found.values(), key=lambda mutant: mutant.line)


def in_annotation(node: parso.tree.NodeOrLeaf) -> bool:
    """Types are not run, nor are names that are only declared: nothing there can be tested."""
    while node.parent is not None:
        parent = node.parent
        if parent.type == "tfpdef" and node is not parent.children[0]:
            return True
        if parent.type == "annassign" and node is parent.children[1]:
            return True
        if parent.type == "expr_stmt" and node is parent.children[0]:
            rest = parent.children[1]
            return rest.type == "annassign" and len(rest.children) == 2
        if parent.type == "funcdef" and node is parent.annotation:
            return True
        node = parent
    return False


def large(node: parso.tree.NodeOrLeaf) -> bool:
    """A number that one more or less does not change: where two equal forms take turns."""
    return node.type == "number" and abs(float(node.value)) > 100


def described(source: str, code: str) -> Mutant:
    old, new, line = "", "", 0
    for tag, i, j, k, m in difflib.SequenceMatcher(
        None, source.splitlines(), code.splitlines(), autojunk=False
    ).get_opcodes():
        if tag != "equal":
            line = i + 1
            old = " ".join(" ".join(source.splitlines()[i:j]).split())
            new = " ".join(" ".join(code.splitlines()[k:m]).split())
    return Mutant(code, line, old, new)


class OnlyThisModule:
    """Of the shared suite, a plugin that keeps only the rows of one module's table."""

    def __init__(self, module: str) -> None:
        self.module = module

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        table = importlib.import_module(f"losses.tables.{self.module}")
        rows = [*table.CASES, *table.REFUSED]

        def concerns(item: pytest.Item) -> bool:
            parameters = getattr(item, "callspec", None)
            given = parameters.params.values() if parameters else ()
            return any(value is row for value in given for row in rows)

        items[:] = filter(concerns, items)


def survives(module: str, code: str | None, limit: float, quiet: bool = True) -> bool:
    """Whether the tests of a module pass with its source replaced by ``code``."""
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            status = run_tests(module, code, limit, quiet)
        os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def run_tests(module: str, code: str | None, limit: float, quiet: bool) -> int:
    signal.setitimer(signal.ITIMER_REAL, limit)
    if quiet:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    path = ROOT / f"course_losses/{module}.py"
    compiled_elsewhere = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> object:
        if code is not None and Path(loader.path) == path:
            return compile(code, str(path), "exec")
        return compiled_elsewhere(loader, name)

    SourceFileLoader.get_code = get_code
    folder = ROOT / "tests/losses"
    own = map(str, sorted(folder.glob(f"test_{module}*.py")))
    shared = str(folder / "test_every_loss.py")  # takes longer to collect: only for what is left
    failed = pytest.main([*OPTIONS, *own])
    return int(failed or pytest.main([*OPTIONS, shared], plugins=[OnlyThisModule(module)]))


def explained(module: str) -> set[str]:
    """The mutants of a module that the list of equivalents explains."""
    text = EQUIVALENT.read_text() if EQUIVALENT.exists() else ""
    section = re.search(rf"^## {module}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return set(re.findall(r"^- (`.+?` → `.*?`): \S", section[1], re.M)) if section else set()


def measure(module: str) -> tuple[int, int, list[Mutant]]:
    """Mutants, killed ones, and the survivors that nothing explains."""
    start = time.monotonic()
    if not survives(module, None, limit=3600, quiet=False):
        sys.exit(f"{module}: its tests fail without any mutation")
    limit = 60 + 10 * (time.monotonic() - start)
    all_mutants = mutants((ROOT / f"course_losses/{module}.py").read_text())
    known = explained(module)
    survivors = []
    for mutant in all_mutants:
        if survives(module, mutant.code, limit):
            survivors.append(mutant)
            word = "equivalent" if str(mutant) in known else "SURVIVED"
            print(f"  {word} line {mutant.line}: {mutant}", flush=True)
    killed = len(all_mutants) - len(survivors)
    print(f"{module}: {killed} of {len(all_mutants)} mutants killed", flush=True)
    return len(all_mutants), killed, [m for m in survivors if str(m) not in known]


def main(chosen: list[str]) -> int:
    os.chdir(ROOT)
    for name in SETTINGS["preload"]:
        importlib.import_module(name)
    gc.freeze()
    unknown = set(chosen) - set(SETTINGS["modules"])
    if unknown:
        named, known = ", ".join(sorted(unknown)), ", ".join(SETTINGS["modules"])
        sys.exit(f"{named}: not a module in [tool.mutants] of pyproject.toml, which lists {known}")
    results = [measure(module) for module in chosen or SETTINGS["modules"]]
    total, killed = sum(r[0] for r in results), sum(r[1] for r in results)
    unexplained = sum(len(r[2]) for r in results)
    print(f"in all {killed} of {total} killed ({killed / total:.1%}), {unexplained} unexplained")
    return int(killed < SETTINGS["least"] * total or unexplained > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
