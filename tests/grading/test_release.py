"""What learners get is what the solutions say today."""

import json
from pathlib import Path

import nbformat
import pytest
from click.testing import Result
from grading.conftest import EXERCISES, ROOT
from typer.testing import CliRunner

from course_losses.grading.answers import same, thawed
from course_losses.grading.cli import app
from course_losses.grading.exercise import Exercise
from course_losses.grading.release import learners_notebook, public_cases, release
from course_losses.grading.rubric import RubricError


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_no_learners_notebook_is_stale(exercise: Exercise) -> None:
    released = nbformat.read(exercise.notebook, as_version=4)
    derived = nbformat.reads(learners_notebook(exercise), as_version=4)
    told = f"run `course-losses release {exercise.name}`, then `make notebooks`"
    assert [cell.source for cell in released.cells] == [cell.source for cell in derived.cells], told
    assert [cell.id for cell in released.cells] == [cell.id for cell in derived.cells], told


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_no_public_cases_are_stale(exercise: Exercise) -> None:
    released = thawed(json.loads(exercise.cases.read_text()))
    derived = thawed(json.loads(public_cases(exercise)))
    assert same(released, derived, 1e-5), f"run `course-losses release {exercise.name}`"


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_the_learners_pack_holds_no_solution(exercise: Exercise) -> None:
    told = exercise.notebook.read_text() + exercise.rubric.read_text()
    solution = nbformat.read(exercise.solution, as_version=4)
    lines = [line for cell in solution.cells for line in _gaps(cell.source)]
    assert lines
    assert not [line for line in lines if len(line) > 25 and line in told]


def _gaps(source: str) -> list[str]:
    """What is written between the marks, but for the lines that the learner is given."""
    lines = []
    for part in source.split("# BEGIN SOLUTION")[1:]:
        written, _, given = part.split("# END SOLUTION")[0].partition("# GIVEN")
        known = {line.strip().removeprefix("#").strip() for line in given.splitlines()}
        lines += [line.strip() for line in written.splitlines() if line.strip() not in known]
    return lines


def test_given_code_stands_where_the_repair_stood(tmp_path: Path) -> None:
    cell = (
        "def f(x):\n    # BEGIN SOLUTION\n    y = 2 * x\n    return y\n    # GIVEN\n    # if x:\n"
    )
    cell += "    #     return x\n    #\n    # return 0  # why?\n    # END SOLUTION\n\nprint(f(1))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell, id="f")])
    folder = tmp_path / "exercises" / "f"
    folder.mkdir(parents=True)
    (folder / "test_f.py").touch()
    exercise = Exercise(folder)
    exercise.solution.parent.mkdir()
    nbformat.write(notebook, exercise.solution)
    released = nbformat.reads(learners_notebook(exercise), as_version=4).cells[0].source
    given = "    if x:\n        return x\n    \n    return 0  # why?\n"
    assert released == f"def f(x):\n{given}\nprint(f(1))"


def test_release_writes_once_and_keeps_outputs(tmp_path: Path) -> None:
    source = EXERCISES["tversky"]
    folder = tmp_path / "exercises" / "tversky"
    folder.mkdir(parents=True)
    (folder / "test_tversky.py").write_bytes(source.rubric.read_bytes())
    copy = Exercise(folder)
    copy.solution.parent.mkdir()
    copy.solution.write_bytes(source.solution.read_bytes())
    assert {path.name for path in release(copy)} == {"tversky.ipynb", "cases.json"}
    assert release(copy) == []
    copy.notebook.write_bytes(source.notebook.read_bytes())
    release(copy)
    cells = nbformat.read(copy.notebook, as_version=4).cells
    assert any(cell.get("outputs") for cell in cells)
    copy.solution.write_text(copy.solution.read_text().replace("# END SOLUTION", "# END", 1))
    with pytest.raises(RubricError, match="without its partner in cell tversky-class"):
        release(copy)


def released_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """What the command says in a course that has Tversky's solution and nothing more."""
    (folder / "solutions").mkdir()
    solution = folder / "solutions" / "tversky.ipynb"
    solution.write_bytes(EXERCISES["tversky"].solution.read_bytes())
    monkeypatch.chdir(folder)
    return CliRunner().invoke(app, ["release"])


def test_release_skips_what_has_no_solution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("later", "tversky"):
        folder = tmp_path / "exercises" / name
        folder.mkdir(parents=True)
        (folder / f"test_{name}.py").write_bytes(EXERCISES["tversky"].rubric.read_bytes())
    found = released_in(tmp_path, monkeypatch)
    assert found.exit_code == 0
    assert "later: skipped" in found.stdout
    assert "tversky: tversky.ipynb, cases.json" in found.stdout


def test_release_tells_a_rubric_s_fault_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "exercises" / "tversky"
    folder.mkdir(parents=True)
    (folder / "test_tversky.py").write_text('"""No criteria yet."""\n')
    found = released_in(tmp_path, monkeypatch)
    assert found.exit_code == 1
    assert "tversky: left as it was" in found.stdout
    assert "needs NEEDS" in " ".join(found.stdout.split())
    assert [path.name for path in folder.iterdir()] == ["test_tversky.py"]


def test_every_exercise_is_in_the_book() -> None:
    listed = (ROOT / "book" / "exercises.ipynb").read_text(encoding="utf-8")
    contents = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    for name in EXERCISES:
        page = f"exercises/{name}/{name}"
        assert f"](../{page}.ipynb)" in listed, f"name {name} in CHAPTERS of book/exercises.ipynb"
        assert f"file: {page}\n" in contents, f"list {page} in _toc.yml"
        assert f"file: solutions/{name}\n" in contents, f"list solutions/{name} in _toc.yml"
