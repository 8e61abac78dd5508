"""A learner's own notebooks: which are attempted, what each has earned, what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from .answers import Stored
from .exercise import Exercise
from .judge import PASSED, UNTRIED, WAITING
from .notebook import InvalidNotebookError, code_cells, read_file, work
from .report import number
from .rubric import RubricError
from .sandbox import Limits, bubblewrap_fault
from .slot import Outcome, Slot
from .submissions import exercise_name
from .text import printable

UNTOUCHED = "not attempted"


@dataclass
class Step:
    """One row: how far a notebook has come, and the next thing to do."""

    name: str
    next: str
    earned: float = 0.0
    points: float = 0.0
    held: int = 0
    criteria: int = 0


def below(folder: Path) -> list[Exercise]:
    """The exercises in a folder and in the two levels below it: a rubric beside its cases."""
    depths = ("cases.json", "*/cases.json", "*/*/cases.json")
    places = sorted({cases.parent.resolve() for depth in depths for cases in folder.glob(depth)})
    return [Exercise(place) for place in places if any(place.glob("test_*.py"))]


def own_slot(exercise: Exercise) -> Slot:
    """Checks notebooks of this exercise against the public cases, in a sandbox where one runs."""
    return Slot(exercise, None, wrapped=not bubblewrap_fault(), limits=Limits())


def step(exercise: Exercise) -> Step:
    """The row of one exercise, whatever stands in its folder."""
    notebook = _newest(exercise)
    if notebook is None:
        return Step(exercise.name, f"There is no {exercise.name}.ipynb in {exercise.folder}.")
    try:
        slot = own_slot(exercise)
    except RubricError as error:
        return Step(notebook.stem, str(error))
    except (Exception, SystemExit) as error:  # whatever its rubric does, the others have their rows
        fault = f"{exercise.rubric} does not run ({type(error).__name__})"
        return Step(notebook.stem, f"{fault}: take it from the course again.")
    try:
        return _judged(slot, exercise, notebook)
    except RubricError as error:
        return Step(notebook.stem, str(error))
    finally:
        slot.close()


def _newest(exercise: Exercise) -> Path | None:
    """The notebook that counts: the exercise's own, or a copy that was changed after it."""
    name = exercise.name.lower()
    files = [p for p in exercise.folder.iterdir() if exercise_name(p.name, [name]) == name]
    return max(files, key=lambda path: (path.lstat().st_mtime_ns, path.name), default=None)


def _judged(slot: Slot, exercise: Exercise, notebook: Path) -> Step:
    row = Step(notebook.stem, "", points=slot.session.points, criteria=len(slot.session.criteria))
    try:
        content = read_file(notebook)
        if work(code_cells(content)) == Stored(exercise.cases).released:
            row.next = UNTOUCHED
            return row
    except InvalidNotebookError as fault:
        row.next = str(fault)
        return row
    outcome = slot.grade(content)
    row.earned, row.next = outcome.score, _next(outcome)
    row.held = sum(verdict["outcome"] == PASSED for verdict in outcome.verdicts)
    return row


def _next(outcome: Outcome) -> str:
    if outcome.verdicts and all(v["outcome"] == UNTRIED for v in outcome.verdicts):
        return str(outcome.verdicts[0]["diagnosis"])
    for verdict in outcome.verdicts:
        if verdict["outcome"] not in (PASSED, WAITING):
            return f"{verdict['title']}: {verdict['diagnosis']}"
    return outcome.detail or "done"


def overview(steps: Sequence[Step]) -> Table:
    """All rows, and their totals."""
    earned, points = sum(s.earned for s in steps), sum(s.points for s in steps)
    held, criteria = sum(s.held for s in steps), sum(s.criteria for s in steps)
    drawn = Table(show_footer=True)
    drawn.add_column("exercise", "all", overflow="fold")
    drawn.add_column("points", f"{number(earned)}/{number(points)}", justify="right")
    drawn.add_column("criteria", f"{held}/{criteria}", justify="right")
    drawn.add_column("what to do next", overflow="fold")
    for s in steps:
        style = "green" if s.criteria and s.held == s.criteria else ""
        style = "dim" if s.next == UNTOUCHED else style
        drawn.add_row(
            Text(printable(s.name), style),
            f"{number(s.earned)}/{number(s.points)}",
            f"{s.held}/{s.criteria}",
            Text(printable(s.next), style),
        )
    return drawn
