"""The learner's pack, derived from the solution: the notebook with its gaps, the public cases.

In a solution notebook, lines between ``# BEGIN SOLUTION`` and ``# END SOLUTION`` become a gap;
where ``# GIVEN`` stands between them, the comments below it become code that the learner repairs.
A cell tagged ``solution`` is left out. A cell tagged ``ungraded`` is for reading and trying; the
grader skips it while its text is as released.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

from .answers import Drawn, stored
from .exercise import Exercise
from .notebook import code_cells, work
from .rubric import RubricError
from .session import Session

PUBLIC_SEED = 0
GAP = re.compile(
    r"^([ \t]*)# BEGIN SOLUTION\n(.*?)^[ \t]*# END SOLUTION$", re.DOTALL | re.MULTILINE
)


def release(exercise: Exercise) -> list[Path]:
    """Writes the learner's notebook and cases; returns the files that changed."""
    files = {exercise.notebook: learners_notebook(exercise), exercise.cases: public_cases(exercise)}
    changed = [p for p, text in files.items() if not p.is_file() or p.read_text("utf-8") != text]
    for path in changed:
        path.write_text(files[path], encoding="utf-8")
    return changed


def learners_notebook(exercise: Exercise) -> str:
    """The solution without what the learner is to write. Outputs of unchanged cells are kept."""
    notebook = nbformat.read(exercise.solution, as_version=4)  # type: ignore[no-untyped-call]
    before = _cells(exercise.notebook)
    notebook.cells = [cell for cell in notebook.cells if "solution" not in _tags(cell)]
    for cell in notebook.cells:
        marks = re.findall(r"# (BEGIN|END) SOLUTION", cell.source)
        if marks != ["BEGIN", "END"] * (len(marks) // 2):
            told = f"a solution mark without its partner in cell {cell.id}"
            raise RubricError(f"{exercise.solution}: {told}")
        cell.source = GAP.sub(_left, cell.source)
        if cell.cell_type == "code":
            known = before.get(cell.id)
            kept = known if known is not None and known.source == cell.source else None
            cell.outputs = kept.outputs if kept is not None else []
            cell.execution_count = kept.execution_count if kept is not None else None
    return str(nbformat.writes(notebook)) + "\n"  # type: ignore[no-untyped-call]


def _left(gap: re.Match[str]) -> str:
    indent, lines = gap.groups()
    _, mark, given = lines.partition(f"{indent}# GIVEN\n")
    if not mark:
        return f"{indent}...  # write your code here"
    return re.sub(rf"^{indent}# ?", indent, given.removesuffix("\n"), flags=re.MULTILINE)


def public_cases(exercise: Exercise) -> str:
    """The cases of the self-check, with the solution's answers and those of each mistake."""
    released = work(code_cells(learners_notebook(exercise).encode()))
    session = Session([exercise.rubric])
    try:
        answers = Drawn(PUBLIC_SEED, exercise.solution, session.mistakes)
        return stored(released, answers, session.criteria)
    finally:
        session.close()


def _cells(path: Path) -> dict[str, nbformat.NotebookNode]:
    if not path.is_file():
        return {}
    return {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}  # type: ignore[no-untyped-call]


def _tags(cell: nbformat.NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))
