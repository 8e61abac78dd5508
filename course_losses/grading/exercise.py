"""Where an exercise's files are: its rubric, its stored cases, its notebook, its solution."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .rubric import RubricError

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Exercise:
    """The files of one exercise, as they stand in the repository's two folders.

    Args:
        folder: holds ``NAME.ipynb``, ``test_NAME.py`` and ``cases.json``.
        private: an instructor's folder of further criteria, ``test_NAME.py`` in it.
    """

    folder: Path
    private: Path | None = None

    @property
    def name(self) -> str:
        return self.rubric.stem.removeprefix("test_")

    @property
    def rubric(self) -> Path:
        return next(iter(sorted(self.folder.glob("test_*.py"))))

    @property
    def cases(self) -> Path:
        return self.folder / "cases.json"

    @property
    def notebook(self) -> Path:
        return self.folder / f"{self.name}.ipynb"

    @property
    def solution(self) -> Path:
        return self.folder.parents[1] / "solutions" / f"{self.name}.ipynb"

    @property
    def source(self) -> Path:
        """The notebook that says which cells are ``ungraded``: learners have no solution."""
        return self.solution if self.solution.is_file() else self.notebook

    @property
    def rubrics(self) -> list[Path]:
        """The exercise's own rubric, then the private one."""
        extra = [self.private / f"test_{self.name}.py"] if self.private else []
        return [self.rubric, *(path for path in extra if path.is_file())]

    def fingerprint(self) -> str:
        """Changes when what decides a mark changes: the rubrics or the solution."""
        if not self.solution.is_file():
            raise RubricError(f"{self.name} cannot be graded without {self.solution}")
        digest = hashlib.sha256()
        for path in (*self.rubrics, self.solution):
            content = path.read_bytes()
            digest.update(len(content).to_bytes(8, "big") + content)
        return digest.hexdigest()


def exercises(start: Path | None = None, private: Path | None = None) -> dict[str, Exercise]:
    """Every exercise of the course around ``start`` (the current folder), by name."""
    root = next((p for p in _around(start) if any(p.glob("exercises/*/test_*.py"))), CHECKOUT)
    rubrics = sorted(root.glob("exercises/*/test_*.py"))
    found = [Exercise(rubric.parent, private) for rubric in rubrics]
    return {exercise.name: exercise for exercise in found}


def find(name: str, start: Path | None = None) -> Exercise:
    """The exercise ``name``: beside the notebook, else in the course around it.

    Raises:
        FileNotFoundError: there is no such exercise.
    """
    beside = (start or Path.cwd()) / f"test_{name}.py"
    if beside.is_file():
        return Exercise(beside.parent)
    known = exercises(start)
    if name not in known:
        listed = f" The exercises here: {', '.join(known)}." if known else ""
        raise FileNotFoundError(
            f"No exercise is called {name!r}.{listed} "
            f"Its rubric test_{name}.py and cases.json belong beside the notebook."
        )
    return known[name]


def _around(start: Path | None) -> Iterable[Path]:
    here = (start or Path.cwd()).resolve()
    return [here, *here.parents]
