"""A run over a class: every file has its row; a second run does only what is new."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from grading.conftest import EXERCISES, notebook
from grading.variants.tversky import DEFINITION, WRONG
from typer.testing import CliRunner

from course_losses.grading.cli import app
from course_losses.grading.records import Records, write
from course_losses.grading.run import LOCAL, Run, close_slots
from course_losses.grading.sandbox import Limits, bubblewrap_fault
from course_losses.grading.submissions import collect

COLUMNS = ["student", "exercise", "score", "max_score", "status", "detail"]
Command = Callable[..., object]


def hand_in(root: Path, student: str, content: bytes, name: str = "tversky.ipynb") -> Path:
    place = root / student
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(content)
    return place / name


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder with everything that a term brings, graded once by the command."""
    root = tmp_path_factory.mktemp("class")
    submissions, out = root / "in", root / "out"
    right = notebook(DEFINITION)
    hand_in(submissions, "anna", right)
    hand_in(submissions, "ben", notebook(WRONG["1 - (tp → (tp"]))
    hand_in(submissions, "carl", notebook(DEFINITION, "1 / 0"))
    hand_in(submissions, "dora", notebook("x = 1"))
    hand_in(submissions, "emil", notebook("import os\nos._exit(0)"))
    hand_in(submissions, "fred", notebook("while True: pass"))
    hand_in(submissions, "gina", b"\x00\xff no notebook")
    hand_in(submissions, "hugo", b"")
    hand_in(submissions, "ines", b"[" * 100_000)
    hand_in(submissions, "jane", json.dumps({"cells": "none"}).encode())
    hand_in(submissions, "kurt", b" " * (21 << 20))
    (submissions / "lena").mkdir()
    (submissions / "lena" / "tversky.ipynb").symlink_to(submissions / "anna" / "tversky.ipynb")
    (submissions / "mona" / "tversky.ipynb").mkdir(parents=True)
    (submissions / "nora").mkdir()
    os.mkfifo(submissions / "nora" / "tversky.ipynb")
    old = hand_in(submissions, "otto", notebook(WRONG["nothing"]))
    os.utime(old, (1, 1))
    hand_in(submissions, "otto", right, "Tversky (1).ipynb")
    hand_in(submissions, "paul", right, "homework.ipynb")
    hand_in(submissions, "paul", b"hello", "notes.txt")
    hand_in(submissions, "=cmd|' 'calc'!A0", right)
    hand_in(submissions, 'two\nlines, "quoted"', right)
    hand_in(submissions, os.fsdecode(b"no utf-8 \xff"), right)
    hand_in(submissions, "rita", _format_three(DEFINITION))
    (submissions / "loose.ipynb").write_bytes(right)
    (submissions / "sara").symlink_to(submissions / "anna")
    command = request.getfixturevalue("run_command")
    told = command("grade", submissions, "--out", out, "--timeout", "4", "--memory", "512")
    assert told.returncode == 0, told.stdout + told.stderr
    return root


def _format_three(source: str) -> bytes:
    cells = [{"cell_type": "code", "language": "python", "input": source.splitlines(True)}]
    return json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}).encode()


def test_every_file_has_its_row(graded: Path) -> None:
    rows = table(graded / "out" / "grades.csv")
    assert list(rows[0]) == COLUMNS
    found = {row["student"]: (row["status"], row["score"]) for row in rows}
    assert found == {
        "anna": ("graded", "10"),
        "ben": ("graded", "0"),
        "carl": ("graded", "10"),
        "dora": ("error", "0"),
        "emil": ("killed", "0"),
        "fred": ("timeout", "0"),
        "gina": ("invalid", "0"),
        "hugo": ("invalid", "0"),
        "ines": ("invalid", "0"),
        "jane": ("invalid", "0"),
        "kurt": ("invalid", "0"),
        "lena": ("invalid", "0"),
        "mona": ("invalid", "0"),
        "nora": ("invalid", "0"),
        "otto": ("graded", "10"),
        "'=cmd|' 'calc'!A0": ("graded", "10"),
        'two\\nlines, "quoted"': ("graded", "10"),
        "no utf-8 \\xff": ("graded", "10"),
        "rita": ("graded", "10"),
    }
    assert len(rows) == len(found)
    assert {row["max_score"] for row in rows} == {"10"}


def test_details_say_why(graded: Path) -> None:
    details = {row["student"]: row["detail"] for row in table(graded / "out" / "grades.csv")}
    assert details["ben"] == "The index itself comes back. The loss is 1 minus the index."
    assert details["carl"] == "code cell 2 raised ZeroDivisionError: division by zero"
    assert details["dora"] == "TverskyLoss is not defined"
    assert details["fred"] == "took longer than 4 s"
    assert details["lena"] == "the file is a link"
    assert details["kurt"] == "the file is too large (more than 20 MB)"
    assert details["otto"] == "2 files were handed in; Tversky (1).ipynb is the newest"


def test_what_belongs_to_no_exercise_is_listed(graded: Path) -> None:
    reasons = {row["file"]: row["reason"] for row in table(graded / "out" / "ignored.csv")}
    assert reasons == {
        "loose.ipynb": "not in SUBMISSIONS/STUDENT/",
        "otto/tversky.ipynb": "Tversky (1).ipynb is newer",
        "paul/homework.ipynb": f"no exercise has this name (there are: {', '.join(EXERCISES)})",
        "paul/notes.txt": "not a notebook",
        "sara": "a link",
    }


def test_feedback_names_one_student_and_holds_no_markup_of_theirs(graded: Path) -> None:
    pages = list((graded / "out" / "feedback").glob("*/tversky.html"))
    assert len(pages) == 19
    told = (graded / "out" / "feedback" / "ben" / "tversky.html").read_text()
    assert "ben" in told
    assert "The loss is 1 minus the index" in told
    assert not [name for name in ("anna", "carl", "dora", "emil") if name in told]


def test_a_second_run_grades_nothing_again(graded: Path, run_command: Command) -> None:
    records = {p: p.stat().st_mtime_ns for p in (graded / "out" / "records").rglob("*.json")}
    before = (graded / "out" / "grades.csv").read_bytes()
    run_command(
        "grade", graded / "in", "--out", graded / "out", "--timeout", "4", "--memory", "512"
    )
    assert {p: p.stat().st_mtime_ns for p in records} == records
    assert (graded / "out" / "grades.csv").read_bytes() == before


@contextmanager
def here(jobs: int) -> Iterator[Executor]:
    """Grades in this process, which keeps its slot open from run to run."""
    with ThreadPoolExecutor(jobs) as executor:
        yield executor


HERE = replace(LOCAL, pool=here)


@pytest.fixture(scope="module", autouse=True)
def _close() -> Iterator[None]:
    yield
    close_slots()


def run(submissions: Path, out: Path, **changes: object) -> tuple[Run, list[str]]:
    """A run in this process; the students that were graded, not those whose record held."""
    records = Records(out)
    write(records.folder / "seed.json", "1")
    exercises = changes.pop("exercises", {"tversky": EXERCISES["tversky"]})
    found, _ = collect(submissions, exercises, out)
    graded = Run(records, exercises, not bubblewrap_fault(), Limits(20, 512), 1, HERE)
    before = {s.student: _written(records, s) for s in found}
    done = list(graded.grade(found))
    assert sorted(s.student for s in done) == sorted(before)
    return graded, [s.student for s in found if _written(records, s) != before[s.student]]


def _written(records: Records, submission: object) -> int:
    path = records._path(submission)
    return path.stat().st_mtime_ns if path.is_file() else 0


def test_only_what_changed_is_graded_again(tmp_path: Path) -> None:
    submissions, out = tmp_path / "in", tmp_path / "out"
    for student in ("anna", "ben"):
        hand_in(submissions, student, notebook(DEFINITION, student))
    assert run(submissions, out)[1] == ["anna", "ben"]
    assert run(submissions, out)[1] == []
    hand_in(submissions, "ben", notebook(DEFINITION, "later"))
    hand_in(submissions, "carl", notebook(DEFINITION))
    assert run(submissions, out)[1] == ["ben", "carl"]
    private = tmp_path / "private"
    private.mkdir()
    (private / "test_tversky.py").write_text(PRIVATE)
    changed = {"tversky": EXERCISES["tversky"].__class__(EXERCISES["tversky"].folder, private)}
    graded, again = run(submissions, out, exercises=changed)
    assert again == ["anna", "ben", "carl"]
    found, _ = collect(submissions, changed, out)
    record = graded.records.read(found[0])
    assert record is not None
    assert (record.outcome.score, record.outcome.max_score) == (12, 12)


PRIVATE = '''
"""A private criterion: tiny images."""
import torch
from course_losses.grading import Case, criterion

def tiny(random):
    pred, target = torch.rand(1, 1, 1, 2, generator=random), torch.tensor([[[[1.0, 0.0]]]])
    return Case(pred=pred, target=target)

@criterion("Two pixels are enough", points=2, cases=tiny)
def test_tiny(student, case):
    return student.TverskyLoss(0.2, 0.9, 0.5)(case.pred, case.target)
'''


def test_a_damaged_record_is_graded_again(tmp_path: Path) -> None:
    submissions, out = tmp_path / "in", tmp_path / "out"
    hand_in(submissions, "anna", notebook(DEFINITION))
    run(submissions, out)
    record = next((out / "records" / "tversky").glob("*.json"))
    record.write_text(record.read_text()[:100])
    assert run(submissions, out)[1] == ["anna"]


def test_usage_errors_are_told(tmp_path: Path) -> None:
    for arguments, told in (
        (("grade", tmp_path / "none"), "does not exist"),
        (("grade", tmp_path, "--exercise", "nonesuch"), "no exercise is called 'nonesuch'"),
        (("grade", tmp_path, "--format", "pdf"), "--format takes"),
        (("release", "nonesuch"), "no exercise is called 'nonesuch'"),
        (("check", tmp_path / "none.ipynb"), "does not exist"),
    ):
        found = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
        assert found.exit_code == 2
        assert told in " ".join(found.stderr.split())
