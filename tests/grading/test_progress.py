"""`course-losses progress`: every exercise has its row, whatever lies in its folder."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from grading.conftest import EXERCISES, ROOT, notebook
from grading.variants.tversky import DEFINITION, WRONG
from typer.testing import CliRunner

from course_losses.grading.answers import Stored
from course_losses.grading.cli import app
from course_losses.grading.exercise import Exercise
from course_losses.grading.notebook import code_cells, work
from course_losses.grading.progress import UNTOUCHED, Step, below, step
from course_losses.grading.sandbox import Limits, bubblewrap_fault
from course_losses.grading.slot import Slot

TVERSKY = EXERCISES["tversky"].folder
SWAPPED = WRONG["self.alpha * fp + self.beta * fn → self.beta * fp + self.alpha * fn"]
SOUND = ("test_tversky.py", "cases.json")
Fill = Callable[[Path], object]


def copy(place: Path) -> Path:
    """The exercise's folder as a learner gets it."""
    shutil.copytree(TVERSKY, place, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def holding(*sources: str) -> Fill:
    return lambda folder: (folder / "tversky.ipynb").write_bytes(notebook(*sources))


def instead(name: str, content: bytes) -> Fill:
    return lambda folder: (folder / name).write_bytes(content)


def emptied(make: Fill) -> Fill:
    """Without a notebook, then with what ``make`` puts in its place."""

    def fill(folder: Path) -> None:
        (folder / "tversky.ipynb").unlink()
        make(folder / "tversky.ipynb")

    return fill


def newer_copy(folder: Path) -> None:
    os.utime(folder / "tversky.ipynb", (1, 1))
    (folder / "tversky-Copy1.ipynb").write_bytes(notebook(DEFINITION))


def older_copy(folder: Path) -> None:
    (folder / "tversky-Copy1.ipynb").write_bytes(notebook(DEFINITION))
    os.utime(folder / "tversky-Copy1.ipynb", (1, 1))


# What lies in a folder: points, criteria that hold, and what is said.
CASES: dict[str, tuple[Fill, float, int, str]] = {
    "nothing touched": (lambda _: None, 0, 0, "not attempted"),
    "right": (holding(DEFINITION), 10, 7, "done"),
    "wrong": (
        holding(SWAPPED),
        1,
        1,
        "One image: the value follows the definition: α and β are swapped",
    ),
    "nothing returned": (holding(WRONG["nothing"]), 0, 0, "nothing is returned"),
    "right, and a cell raises": (holding(DEFINITION, "1 / 0"), 10, 7, "code cell 2 raised ZeroDiv"),
    "a cell with a syntax error": (
        holding("class TverskyLoss(:"),
        0,
        0,
        "TverskyLoss is not defined; code cell 1 raised SyntaxError",
    ),
    "ends its process": (holding("import os\nos._exit(0)"), 0, 0, "process ended itself"),
    "escapes": (holding("raise Exception('\\x1b[31m[bold]red')"), 0, 0, "raised Exception:  [31m"),
    "no JSON": (instead("tversky.ipynb", b"\x00\xff"), 0, 0, "not a notebook (no JSON)"),
    "empty": (instead("tversky.ipynb", b""), 0, 0, "not a notebook (no JSON)"),
    "no cells": (instead("tversky.ipynb", b'{"cells": "none"}'), 0, 0, "not a notebook (no cells)"),
    "lone surrogate": (holding("\ud800"), 0, 0, "TverskyLoss is not defined"),
    "no notebook": (emptied(lambda _: None), 0, 0, "There is no tversky.ipynb in"),
    "a folder for a notebook": (emptied(Path.mkdir), 0, 0, "not a regular file"),
    "a pipe for a notebook": (emptied(os.mkfifo), 0, 0, "not a regular file"),
    "a link to nowhere": (emptied(lambda p: p.symlink_to("nowhere")), 0, 0, "the file is a link"),
    "a newer copy": (newer_copy, 10, 7, "done"),
    "an older copy": (older_copy, 0, 0, "not attempted"),
    "cases damaged": (instead("cases.json", b"{"), 0, 0, "cases.json cannot be read (JSONDecode"),
    "cases of nothing": (
        instead("cases.json", b'{"released": ""}'),
        0,
        0,
        "test_one_image has no stored cases",
    ),
    "rubric damaged": (instead("test_tversky.py", b"NEEDS = ["), 0, 0, "cannot be read"),
    "rubric exits": (instead("test_tversky.py", b"import sys\nsys.exit(3)"), 0, 0, "SystemExit"),
    "rubric of nothing": (instead("test_tversky.py", b""), 0, 0, "needs NEEDS"),
}


@pytest.fixture(scope="module")
def kept() -> Iterator[Slot]:
    """A slot that all rows of sound rubrics share."""
    slot = Slot(EXERCISES["tversky"], None, wrapped=not bubblewrap_fault(), limits=Limits())
    yield slot
    slot.close()


@pytest.mark.parametrize("name", CASES)
def test_row(tmp_path: Path, kept: Slot, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    fill, earned, held, said = CASES[name]
    folder = copy(tmp_path / "tversky")
    fill(folder)
    if all((folder / f).read_bytes() == (TVERSKY / f).read_bytes() for f in SOUND):
        monkeypatch.setattr("course_losses.grading.progress.own_slot", lambda _: kept)
        monkeypatch.setattr(kept, "close", lambda: None)
    row = step(Exercise(folder))
    assert (row.earned, row.held) == (earned, held)
    assert said in row.next
    assert row.name == ("tversky-Copy1" if name == "a newer copy" else "tversky")
    if not said.startswith(("There is no", "cases", "test_", "cannot", "System", "needs")):
        assert (row.points, row.criteria) == (10, 7)


def test_a_folder_that_pytest_would_misread_is_named(tmp_path: Path) -> None:
    row = step(Exercise(copy(tmp_path / "tversky [1]")))
    assert "tversky [1]/test_tversky.py cannot be read: rename the folder" in row.next


@pytest.mark.parametrize("name", EXERCISES)
def test_only_the_released_notebook_counts_as_untouched(name: str) -> None:
    exercise = EXERCISES[name]
    released = Stored(exercise.cases).released
    assert work(code_cells(exercise.notebook.read_bytes())) == released
    assert work(code_cells(exercise.solution.read_bytes())) != released


def test_what_is_untouched_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = copy(tmp_path / "tversky")
    (folder / "tversky.ipynb").write_text(
        (folder / "tversky.ipynb").read_text().replace("α and β", "prices")
    )
    monkeypatch.setattr(Slot, "grade", lambda *_: pytest.fail("it was run"))
    assert step(Exercise(folder)).next == UNTOUCHED


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A learner's folder: one solved, one broken, one untouched, and what else lies about."""
    exercises = tmp_path / "my pack" / "exercises"
    for name, fill in (("a", "right"), ("b", "no JSON"), ("c", "nothing touched")):
        CASES[fill][0](copy(exercises / name))
    (exercises / "cases.json").write_text("{}")
    (exercises / "d").mkdir()
    (exercises / "d" / "test_d.py").write_text("raise Exception('never to be run')")
    (exercises / "e").symlink_to(exercises)
    return exercises.parent


def test_the_table_holds_all_and_their_sum(pack: Path) -> None:
    found = CliRunner().invoke(app, ["progress", str(pack)], env={"COLUMNS": "100"})
    assert found.exit_code == 0, found.output
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in found.stdout.splitlines()
        if "│" in line
    ]
    assert rows == [
        ["tversky", "10/10", "7/7", "done"],
        ["tversky", "0/10", "0/7", "the file is not a notebook (no JSON)"],
        ["tversky", "0/10", "0/7", "not attempted"],
        ["all", "10/30", "7/21", ""],
    ]


def test_where_exercises_are_looked_for(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [pack / "exercises" / name for name in ("a", "b", "c")]
    assert [e.folder for e in below(pack)] == places
    assert [e.folder for e in below(pack / "exercises")] == places
    assert [e.folder for e in below(places[1])] == places[1:2]
    assert below(pack.parent) == []
    assert [e.folder for e in below(ROOT)] == [e.folder for e in EXERCISES.values()]
    found = CliRunner().invoke(app, ["progress", str(pack.parent)], env={"COLUMNS": "300"})
    assert found.exit_code == 2
    assert f"no exercise lies in {pack.parent}" in found.stderr
    found = CliRunner().invoke(app, ["progress", str(pack / "none")], env={"COLUMNS": "300"})
    assert found.exit_code == 2
    monkeypatch.chdir(ROOT / "solutions")
    monkeypatch.setattr("course_losses.grading.cli.step", lambda e: Step(e.name, "", points=10))
    found = CliRunner().invoke(app, ["progress"])
    assert found.exit_code == 0
    assert f"0/{10 * len(EXERCISES)}" in found.stdout
