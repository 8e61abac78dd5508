"""Tables for others to read: CSV, Gradescope, Canvas, Moodle, JUnit. Functions of the gradebook."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from .gradebook import Gradebook, Row
from .judge import PASSED
from .records import write
from .roster import CANVAS, MOODLE, Roster, RosterError, is_student
from .slot import GRADED
from .submissions import Ignored
from .text import cell, printable, slug

COLUMNS = ("student", "exercise", "score", "max_score", "status", "detail")
CANVAS_COLUMNS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


def grades_csv(book: Gradebook, out: Path) -> None:
    """``grades.csv``: a line for every submission, and for every student who owes one."""
    lines = [
        (row.student, row.exercise, *_points(row), row.outcome.status, row.detail) for row in book
    ]
    write(out / "grades.csv", _csv(COLUMNS, lines))


def ignored_csv(ignored: Iterable[Ignored], out: Path) -> None:
    """``ignored.csv``: every other file, and why it has no row."""
    write(out / "ignored.csv", _csv(("file", "reason"), [(e.path, e.reason) for e in ignored]))


def gradescope(book: Gradebook, out: Path) -> None:
    """``gradescope/STUDENT/EXERCISE/results.json``, as Gradescope's autograders write it."""
    for row in book:
        tests = [
            {
                "name": verdict["title"],
                "score": verdict["earned"],
                "max_score": verdict["points"],
                "status": "passed" if verdict["outcome"] == PASSED else "failed",
                "output": printable(verdict["diagnosis"]),
                "output_format": "text",
                "name_format": "text",
                "visibility": "visible",
            }
            for verdict in row.outcome.verdicts
        ]
        results = {
            "score": row.outcome.score,
            "output": printable(f"{row.outcome.status}: {row.detail}"),
            "output_format": "text",
            "visibility": "visible",
            "stdout_visibility": "hidden",
            "tests": tests,
        }
        place = out / "gradescope" / slug(row.folder) / row.exercise / "results.json"
        write(place, json.dumps(results, allow_nan=False, indent=1))


def canvas(book: Gradebook, out: Path) -> None:
    """``canvas.csv`` for the gradebook's import: the roster's sheet filled in, or a plain one."""
    roster = book.roster
    if roster is None or roster.kind != CANVAS:
        header = [*CANVAS_COLUMNS, *book.points]
        possible = ["    Points Possible", "", "", "", "", *map(_number, book.points.values())]
        lines = [
            [folder, "", "", folder, "", *(marks.get(exercise, "") for exercise in book.points)]
            for folder, marks in _scores(book).items()
        ]
        write(out / "canvas.csv", _csv(header, [possible, *lines]))
        return
    end = roster.header.index("Section") + 1 if "Section" in roster.header else 2
    titles = {name: _title(roster.header, name) for name in book.points}
    header = [*roster.header[:end], *(titles[name] or name for name in book.points)]
    marks: dict[int, dict[str, str]] = {}
    for row in book:
        if not row.also:
            student = marks.setdefault(id(roster.find(row.folder)), {})
            student[row.exercise] = _number(row.outcome.score)
    full = {name: _number(points) for name, points in book.points.items()}
    lines = [
        _canvas_line(
            roster, line, end, titles, marks.get(id(line), {}) if is_student(line) else full
        )
        for line in roster.lines
    ]
    write(out / "canvas.csv", _csv(header, lines, roster.delimiter))


def _canvas_line(
    roster: Roster,
    line: list[str],
    end: int,
    titles: dict[str, str | None],
    marks: dict[str, str],
) -> list[str]:
    """A line of the sheet with the marks in place; what has none stays as it was."""
    named = dict(zip(roster.header, line, strict=False))
    filled = [marks.get(name, named.get(title or "", "")) for name, title in titles.items()]
    return [*line[:end], *filled]


def _title(header: Sequence[str], exercise: str) -> str | None:
    """The column of an exercise, which Canvas calls "tversky (1234)"."""
    pattern = re.compile(rf"{re.escape(exercise)}(\s*\(\d+\))?$", re.IGNORECASE)
    return next((name for name in header if pattern.match(name)), None)


def moodle(book: Gradebook, out: Path) -> None:
    """``moodle-EXERCISE.csv``: the roster's worksheet filled in, or a table for the import form."""
    roster = book.roster
    for exercise in book.points:
        rows = {row.folder: row for row in book if row.exercise == exercise}
        place = out / f"moodle-{exercise}.csv"
        if roster is not None and roster.kind == MOODLE and "Identifier" in roster.header:
            if "Grade" not in roster.header:
                raise RosterError("Moodle's grading worksheet needs a column 'Grade'")
            found = {id(roster.find(folder)): row for folder, row in rows.items() if not row.also}
            lines = [_worksheet_line(roster, line, found.get(id(line))) for line in roster.lines]
            write(place, _csv(roster.header, lines, roster.delimiter))
            continue
        header = ("Email address", "ID number", exercise, f"{exercise} feedback")
        plain = [
            (*_identity(folder, roster), _number(row.outcome.score), row.detail)
            for folder, row in rows.items()
        ]
        write(place, _csv(header, plain))


def _worksheet_line(roster: Roster, line: list[str], row: Row | None) -> list[str]:
    filled = dict(zip(roster.header, line, strict=False))
    if row is not None:
        filled["Grade"] = _number(row.outcome.score)
        if "Feedback comments" in filled:
            filled["Feedback comments"] = row.detail
    return [filled.get(name, "") for name in roster.header]


def _identity(folder: str, roster: Roster | None) -> tuple[str, str]:
    """Email address and ID number, as far as the roster or the folder's name tells them."""
    line = roster.find(folder) if roster else None
    if roster is not None and line is not None:
        named = dict(zip(roster.header, line, strict=False))
        if named.get("Email address") or named.get("ID number"):
            return named.get("Email address", ""), named.get("ID number", "")
    return (folder, "") if "@" in folder else ("", folder)


def junit(book: Gradebook, out: Path) -> None:
    """``junit.xml`` in pytest's dialect: a suite for each exercise, a test for each criterion."""
    top = ET.Element("testsuites", name="course-losses")
    for exercise in book.points:
        suite = ET.SubElement(top, "testsuite", name=exercise)
        for row in (row for row in book if row.exercise == exercise):
            name = f"{exercise}.{printable(row.student)}"
            if row.outcome.status != GRADED:
                case = ET.SubElement(suite, "testcase", classname=name, name="grading", time="0")
                fault = ET.SubElement(case, "error", message=row.outcome.status)
                fault.text = printable(row.detail)
            for verdict in row.outcome.verdicts:
                title = verdict["title"]
                case = ET.SubElement(suite, "testcase", classname=name, name=title, time="0")
                if verdict["outcome"] != PASSED:
                    fault = ET.SubElement(case, "failure", message=verdict["outcome"])
                    fault.text = printable(verdict["diagnosis"])
        for kind, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            suite.set(kind, str(sum(1 for _ in suite.iter(tag))))
        suite.set("skipped", "0")
    ET.indent(top)
    write(out / "junit.xml", ET.tostring(top, encoding="unicode", xml_declaration=True) + "\n")


def _scores(book: Gradebook) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in book:
        found.setdefault(row.folder, {})[row.exercise] = _number(row.outcome.score)
    return found


def _points(row: Row) -> tuple[str, str]:
    return _number(row.outcome.score), _number(row.outcome.max_score)


def _number(value: float) -> str:
    return f"{value:.10g}"


def _csv(header: Sequence[str], lines: Iterable[Sequence[str]], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", delimiter=delimiter)
    writer.writerow([cell(name) for name in header])
    writer.writerows([cell(value) for value in line] for line in lines)
    return text.getvalue()
