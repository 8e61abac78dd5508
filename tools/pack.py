"""The learner's pack: exercises without their solutions, and what checks them.

The package in the pack is cut to what the exercises use. Whole, it would hold the repaired form of
most bug hunts and half of the other exercises.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "course_losses"
MARK = "exercises"  # in the version, so that nobody takes the cut package for the whole one
FILES = ("*.ipynb", "test_*.py", "cases.json")
LICENCES = ("LICENSE", "LICENSE-text")
PIP_WHEEL = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
EPOCH = "315532800"  # 1980, the first year that a zip can tell

README = """\
Exercises on loss functions
===========================

You need Python 3.11 or newer. Open a terminal in this folder.

Linux and macOS:

    python3 -m venv .venv
    .venv/bin/pip install -r requirements.txt
    .venv/bin/jupyter lab exercises

Windows:

    py -m venv .venv
    .venv\\Scripts\\pip install -r requirements.txt
    .venv\\Scripts\\jupyter lab exercises

The second command needs the network, once. On Linux without a GPU, spare yourself gigabytes
before it:

    export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

Start with exercises/tversky/tversky.ipynb. Fill in the cell that says so and run the last one:
it tells which criteria hold, and why the others do not. The files beside a notebook do the
telling, so leave them there. Hand in the notebook.

The same check runs without opening the notebook, once it is saved. And how far you are in all
exercises, with the next thing to do in each:

    .venv/bin/course-losses check exercises/tversky/tversky.ipynb
    .venv/bin/course-losses progress exercises

On Windows:

    .venv\\Scripts\\course-losses check exercises\\tversky\\tversky.ipynb
    .venv\\Scripts\\course-losses progress exercises

The package course_losses in this pack holds what the exercises use, and no other loss.
"""


@dataclass
class Statement:
    """A statement at the top of a module, with the comment above it and the string below."""

    node: ast.stmt
    text: str

    @property
    def binds(self) -> set[str]:
        match self.node:
            case ast.Import() | ast.ImportFrom():
                return {name(alias) for alias in self.node.names}
            case ast.FunctionDef() | ast.ClassDef():
                return {self.node.name}
        return {
            node.id
            for node in ast.walk(self.node)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }

    @property
    def uses(self) -> set[str]:
        return {node.id for node in ast.walk(self.node) if isinstance(node, ast.Name)}

    def without(self, others: set[str]) -> str:
        """The text; of an import, only what is not among the others."""
        if isinstance(self.node, ast.Import | ast.ImportFrom):
            self.node.names = [alias for alias in self.node.names if name(alias) not in others]
            return f"{ast.unparse(self.node)}\n"
        return self.text


def name(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def statements(source: str) -> Iterator[Statement]:
    lines, start = source.splitlines(keepends=True), 0
    found: list[Statement] = []
    for node in ast.parse(source).body:
        text = "".join(lines[start : node.end_lineno])
        start = node.end_lineno or 0
        if found and isinstance(node, ast.Expr):  # the words below a constant
            found[-1].text += text
        else:
            found.append(Statement(node, text))
    yield from found


def cut(source: str, wanted: set[str]) -> tuple[str, dict[str, set[str]]]:
    """The module with what ``wanted`` needs of it, and what it needs of the package's others."""
    head, *rest = statements(source)
    kept: list[Statement] = []
    needed = wanted | {"annotations"}  # of the future
    while more := [one for one in rest if one not in kept and one.binds & needed]:
        kept += more
        needed |= set().union(*(one.uses for one in more))
    others: dict[str, set[str]] = {}
    for one in kept:
        if isinstance(one.node, ast.ImportFrom) and (one.node.module or "").startswith(PACKAGE):
            module = str(one.node.module).removeprefix(f"{PACKAGE}.")
            others.setdefault(module, set()).update(one.binds & needed)
    unused = set().union(*(one.binds for one in kept)) - needed
    return head.text + "".join(one.without(unused) for one in rest if one in kept), others


def cut_package(wanted: dict[str, set[str]]) -> dict[str, str]:
    """The text of each module, by name, that the wanted names of some modules need."""
    names: dict[str, set[str]] = {}
    texts: dict[str, str] = {}
    while wanted:
        module, more = wanted.popitem()
        if more <= names.get(module, set()):
            continue
        names[module] = names.get(module, set()) | more
        source = (ROOT / PACKAGE / f"{module}.py").read_text(encoding="utf-8")
        texts[module], others = cut(source, names[module])
        for other, found in others.items():
            wanted[other] = wanted.get(other, set()) | found
    return texts


def imported(notebook: Path) -> Iterator[tuple[str, str]]:
    """Module and name of what a notebook imports of the package, the grader left out."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            for node in ast.walk(ast.parse("".join(cell["source"]))):
                if isinstance(node, ast.ImportFrom) and node.module != f"{PACKAGE}.grading":
                    package, _, module = (node.module or "").partition(".")
                    if package == PACKAGE:
                        yield from ((module or "__init__", alias.name) for alias in node.names)


def write_package(exercises: Path, version: str, folder: Path) -> None:
    """What the wheel is built from: the cut modules, the grader, the data that they read."""
    wanted: dict[str, set[str]] = {"__init__": set()}
    for notebook in sorted(exercises.glob("*/*.ipynb")):
        for module, found in imported(notebook):
            wanted.setdefault(module, set()).add(found)
    package = folder / PACKAGE
    shutil.copytree(ROOT / PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(package / "catalogue")
    for path in package.glob("*.py"):
        path.unlink()
    for module, text in cut_package(wanted).items():
        (package / f"{module}.py").write_text(text, encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    marked = project.replace(f'version = "{version}"', f'version = "{version}+{MARK}"')
    (folder / "pyproject.toml").write_text(marked, encoding="utf-8")
    (folder / "README.md").write_text(README, encoding="utf-8")
    for licence in LICENCES:
        shutil.copy(ROOT / licence, folder)


def build_wheel(source: Path, folder: Path) -> Path:
    """Without the network, and the same bytes each time."""
    subprocess.run(
        [*PIP_WHEEL, "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source],
        env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH},
        check=True,
    )
    return next(folder.glob("*.whl"))


def write_pack(version: str, folder: Path, room: Path) -> None:
    """Fills ``folder`` with what a learner needs; ``room`` is for drafts."""
    for exercise in sorted(path.parent for path in ROOT.glob("exercises/*/test_*.py")):
        target = folder / "exercises" / exercise.name
        target.mkdir(parents=True)
        for pattern in FILES:
            (path,) = exercise.glob(pattern)
            shutil.copy(path, target)
    source = room / "package"
    source.mkdir()
    write_package(folder / "exercises", version, source)
    wheel = build_wheel(source, folder)
    requirements = f"--constraint constraints.txt\n./{wheel.name}\njupyterlab\n"
    (folder / "requirements.txt").write_text(requirements, encoding="utf-8")
    for name in ("constraints.txt", *LICENCES):
        shutil.copy(ROOT / name, folder)
    (folder / "README.txt").write_text(README, encoding="utf-8")
