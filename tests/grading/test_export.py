"""Every export against its importer's rules, with names and messages that mean harm."""

import csv
import json
import os
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from course_losses.grading import export
from course_losses.grading.gradebook import (
    Gradebook,
    Override,
    OverridesError,
    read_overrides,
)
from course_losses.grading.pages import pages
from course_losses.grading.records import Record, Records
from course_losses.grading.roster import RosterError, read_roster
from course_losses.grading.sandbox import Limits
from course_losses.grading.similar import Similar, shape
from course_losses.grading.slot import Outcome
from course_losses.grading.submissions import Submission
from course_losses.grading.text import cell, harmless, slug

EVIL = '=1+1 \x1b[31m\x00 <script>alert(1)</script> \ud800 & "quoted"\nnext line'
FOLDERS = ["anna", "ben@example.org", "=cmd|'calc'!A0", "<b>bold</b>", "no\udcff"]


def outcome(score: float, diagnosis: str = "", status: str = "graded") -> Outcome:
    if status != "graded":
        return Outcome(status, 0.0, 10.0, diagnosis)
    rows = [
        {
            "name": f"test_{number}",
            "title": f"Criterion {number}",
            "outcome": "passed" if score else "failed",
            "earned": score / 2,
            "points": 5.0,
            "diagnosis": diagnosis,
        }
        for number in range(2)
    ]
    return Outcome("graded", score, 10.0, diagnosis, rows, [], ["abc"] * 8)


@pytest.fixture
def book(tmp_path: Path) -> Gradebook:
    """One right, one wrong with an evil diagnosis, one invalid, two more with evil names."""
    records = Records(tmp_path)
    found = []
    outcomes = [
        outcome(10),
        outcome(0, EVIL),
        outcome(0, EVIL, "invalid"),
        outcome(2.5, "sum for mean"),
        outcome(0, "sum for mean"),
    ]
    for folder, result in zip(FOLDERS, outcomes, strict=True):
        submission = Submission(folder, "tversky", tmp_path / "x.ipynb")
        records.write(submission, Record(result, "n", "r", 1, "none", Limits()))
        found.append(submission)
    return Gradebook(found, records, {"tversky": 10.0}, {})


def table(path: Path, delimiter: str = ",") -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def cells(path: Path) -> Iterator[str]:
    yield from (value for line in table(path) for value in line)


@pytest.mark.parametrize("name", ["grades.csv", "canvas.csv", "moodle-tversky.csv"])
def test_no_table_holds_a_formula_or_what_cannot_be_seen(
    book: Gradebook, tmp_path: Path, name: str
) -> None:
    for write in (export.grades_csv, export.canvas, export.moodle):
        write(book, tmp_path)
    for value in cells(tmp_path / name):
        assert not re.match(r"\s*[=+@-]", value)
        assert value.isprintable()
    assert len(table(tmp_path / name)) == len(FOLDERS) + 1 + (name == "canvas.csv")


def test_gradescope(book: Gradebook, tmp_path: Path) -> None:
    export.gradescope(book, tmp_path)
    files = list((tmp_path / "gradescope").glob("*/tversky/results.json"))
    assert len(files) == len(FOLDERS)
    for path in files:
        found = json.loads(path.read_text(), parse_constant=pytest.fail)
        assert found["stdout_visibility"] == "hidden"
        assert found["visibility"] == "visible"
        for test in found["tests"]:
            assert test["status"] in ("passed", "failed")
            assert test["score"] <= test["max_score"]
            assert test["output_format"] == test["name_format"] == "text"
        if found["tests"]:
            assert sum(test["score"] for test in found["tests"]) == found["score"]


def test_junit(book: Gradebook, tmp_path: Path) -> None:
    export.junit(book, tmp_path)
    top = ET.parse(tmp_path / "junit.xml").getroot()
    suite = top.find("testsuite")
    assert suite is not None
    assert top.tag == "testsuites"
    assert suite.attrib == {
        "name": "tversky",
        "tests": "9",
        "failures": "4",
        "errors": "1",
        "skipped": "0",
    }
    for case in suite:
        assert set(case.attrib) == {"classname", "name", "time"}


def test_canvas_without_a_roster(book: Gradebook, tmp_path: Path) -> None:
    export.canvas(book, tmp_path)
    header, possible, *lines = table(tmp_path / "canvas.csv")
    assert header == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "tversky"]
    assert possible[0].strip() == "Points Possible"
    assert possible[-1] == "10"
    assert ["anna", "", "", "anna", "", "10"] in lines


CANVAS = """Student;ID;SIS User ID;SIS Login ID;Section;Old (7);Tversky (42);Final Score
    Points Possible;;;;;5;10;(read only)
Arendt, Anna;101;s1;anna;A;4;;50
Buber, Ben;102;s2;ben@example.org;A;3;1;60
Celan, Carl;103;s3;carl;B;2;7;70
"""


def test_canvas_fills_the_exported_sheet(book: Gradebook, tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text("\ufeff" + CANVAS)
    book.roster = read_roster(tmp_path / "roster.csv")
    export.canvas(book, tmp_path)
    assert table(tmp_path / "canvas.csv", ";") == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Tversky (42)"],
        ["    Points Possible", "", "", "", "", "10"],
        ["Arendt, Anna", "101", "s1", "anna", "A", "10"],
        ["Buber, Ben", "102", "s2", "ben@example.org", "A", "0"],
        ["Celan, Carl", "103", "s3", "carl", "B", "0"],
    ]


def test_who_handed_in_nothing_has_a_row(book: Gradebook, tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text(CANVAS)
    book.roster = read_roster(tmp_path / "roster.csv")
    rows = [(row.student, row.outcome.status, row.outcome.score, row.detail) for row in book]
    assert rows[-1] == ("carl", "invalid", 0.0, "nothing was handed in")
    assert len(rows) == len(FOLDERS) + 1


def test_who_is_on_no_roster_is_told(book: Gradebook, tmp_path: Path) -> None:
    assert list(book.remarks()) == []
    (tmp_path / "roster.csv").write_text(CANVAS)
    book.roster = read_roster(tmp_path / "roster.csv")
    (remark,) = book.remarks()
    assert [name in remark for name in ("'anna'", "ben@", "calc", "bold")] == [
        False,
        False,
        True,
        True,
    ]
    book.submissions = book.submissions[:2]
    assert list(book.remarks()) == []


MOODLE = """Identifier,Full name,Email address,Status,Grade,Last modified (grade),Feedback comments
Participant 5,Anna Arendt,anna@example.org,Submitted,,-,
Participant 6,Ben Buber,ben@example.org,Submitted,3.00,-,
Participant 7,Carl Celan,carl@example.org,No submission,,-,
"""


def test_moodle_fills_the_worksheet(tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text(MOODLE)
    records = Records(tmp_path)
    folders = ["Anna Arendt_5_assignsubmission_file_", "ben@example.org"]
    found = [Submission(folder, "tversky", tmp_path / "x") for folder in folders]
    for submission, score in zip(found, (9.5, 0), strict=True):
        record = Record(outcome(score, "=why"), "n", "r", 1, "none", Limits())
        records.write(submission, record)
    roster = read_roster(tmp_path / "roster.csv")
    export.moodle(Gradebook(found, records, {"tversky": 10.0}, {}, roster), tmp_path)
    header, *lines = table(tmp_path / "moodle-tversky.csv")
    assert header == MOODLE.splitlines()[0].split(",")
    assert [line[0] for line in lines] == ["Participant 5", "Participant 6", "Participant 7"]
    assert [line[4] for line in lines] == ["9.5", "0", "0"]
    assert [line[6] for line in lines] == ["'=why", "'=why", "nothing was handed in"]


def test_moodle_leaves_two_folders_of_one_student_open(tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text(MOODLE)
    records = Records(tmp_path)
    folders = ["Anna Arendt", "Anna Arendt_5_assignsubmission_file_", "ben@example.org"]
    found = [Submission(folder, "tversky", tmp_path / "x") for folder in folders]
    for submission in found:
        records.write(submission, Record(outcome(9), "n", "r", 1, "none", Limits()))
    roster = read_roster(tmp_path / "roster.csv")
    export.moodle(Gradebook(found, records, {"tversky": 10.0}, {}, roster), tmp_path)
    _, *lines = table(tmp_path / "moodle-tversky.csv")
    assert [line[4] for line in lines] == ["", "9", "0"]


def test_moodle_without_a_worksheet(book: Gradebook, tmp_path: Path) -> None:
    export.moodle(book, tmp_path)
    header, *lines = table(tmp_path / "moodle-tversky.csv")
    assert header == ["Email address", "ID number", "tversky", "tversky feedback"]
    assert ["", "anna", "10", ""] in lines
    assert [line[:3] for line in lines if "@" in line[0]] == [["ben@example.org", "", "0"]]


@pytest.mark.parametrize("text", ["", "Student\n", b"\xff\xfe"])
def test_a_roster_that_is_none_is_refused(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "roster.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RosterError, match=r"roster\.csv"):
        read_roster(path)


def test_scores_set_by_hand(book: Gradebook, tmp_path: Path) -> None:
    path = tmp_path / "overrides.csv"
    assert read_overrides(path, ["tversky"]) == {}
    path.write_text(path.read_text() + "anna,tversky,8,late\n")
    book.overrides = read_overrides(path, ["tversky"])
    assert book.overrides == {("anna", "tversky"): Override(8.0, "late")}
    anna = next(row for row in book if row.student == "anna")
    assert anna.outcome.score == 8
    assert anna.detail == "set by hand to 8, from 10: late"


def test_folders_of_one_student_are_left_open(book: Gradebook, tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text(CANVAS.replace(";101;s1;", f";{FOLDERS[2]};<b>bold</b>;"))
    book.roster = read_roster(tmp_path / "roster.csv")
    export.canvas(book, tmp_path)
    assert table(tmp_path / "canvas.csv", ";")[2] == [
        "Arendt, Anna",
        f"'{FOLDERS[2]}",
        "<b>bold</b>",
        "anna",
        "A",
        "",
    ]
    details = {row.student: row.detail for row in book}
    assert "also handed in as '<b>bold</b>'" in details["anna"]
    assert "also handed in as 'anna'" in details["<b>bold</b>"]
    assert "also handed in as" in details[FOLDERS[2]]
    assert "also" not in details["ben@example.org"]
    stranger, remark = book.remarks()  # once for the three
    assert "nobody on the roster" in stranger
    assert "'<b>bold</b>', 'anna'" in remark
    assert "tversky" in remark


def test_an_override_for_nobody_is_remarked(book: Gradebook) -> None:
    book.overrides = {
        ("anna", "tversky"): Override(8.0, ""),
        ("ana", "tversky"): Override(8.0, ""),
        ("ana", "graded another day"): Override(8.0, ""),
    }
    (remark,) = book.remarks()
    assert "'ana'" in remark


NAMES = [
    "a", "a ", " a", r"a\x20", "a\x85", os.fsdecode(b"a\x85"), r"a\x85", r"a\u0085", r"a\\x85",
    "a\n", r"a\n", r"a\\n", " ", "  ", r"\x20", "a b", "a_b", slug("a b"), slug(slug("a b")),
]  # fmt: skip


def test_names_that_look_alike_share_neither_a_score_nor_a_page() -> None:
    assert len({harmless(name) for name in NAMES}) == len(NAMES)
    assert len({slug(name) for name in NAMES}) == len(NAMES)
    assert all(harmless(name).isprintable() for name in NAMES)


@pytest.mark.parametrize("line", ["anna,nonesuch,8,", "anna,tversky,eight,", "anna,tversky,nan,"])
def test_an_override_that_makes_no_sense_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "overrides.csv"
    path.write_text(f"student,exercise,score,comment\n{line}\n")
    with pytest.raises(OverridesError, match="line 2"):
        read_overrides(path, ["tversky"])


class Tags(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_pages(book: Gradebook, tmp_path: Path) -> None:
    pages(book, tmp_path)
    assert len(list((tmp_path / "feedback").glob("*/tversky.html"))) == len(FOLDERS)
    for path in [*(tmp_path / "feedback").rglob("*.html"), tmp_path / "index.html"]:
        page = Tags()
        page.feed(path.read_text(encoding="utf-8"))
        assert not page.tags & {"script", "b"}
        if path.name != "index.html":
            assert "anna" not in page.text or path.parent.name == "anna"
    overview = Tags()
    overview.feed((tmp_path / "index.html").read_text())
    assert "5 submissions, mean 2.5 of 10 points" in overview.text
    assert "1 × sum for mean" in overview.text


def test_every_link_of_the_overview_leads_to_a_page(book: Gradebook, tmp_path: Path) -> None:
    pages(book, tmp_path)
    links = re.findall(r'href="([^"]+)"', (tmp_path / "index.html").read_text())
    assert len(links) == len(FOLDERS)
    assert all((tmp_path / link).is_file() for link in links)


SOURCE = """
def f(pred, target):
    x = pred * target
    y = x.sum()
    if y > 3:
        y = y + 1
    for i in range(4):
        y = y * i
    return y
"""


def test_renamed_copies_are_hinted_at_and_the_obvious_is_not() -> None:
    copied = SOURCE.replace("pred", "p").replace("x", "z") + "# mine\n"
    other = "class Other:\n" + "".join(f"    a = {n}\n" for n in range(9))
    assert shape([SOURCE]) == shape([copied])
    similar = Similar()
    similar.add("anna", shape([SOURCE]))
    similar.add("ben", shape([copied]))
    similar.add("carl", shape([other]))
    assert [pair[:2] for pair in similar.pairs()] == [("anna", "ben")]
    similar.add("dora", shape([SOURCE]))
    assert list(similar.pairs()) == []


def test_pairs_are_looked_for_only_where_something_is_shared() -> None:
    similar = Similar()
    for number in range(4000):
        similar.add(f"{number}", [f"{number % 3999} {line}" for line in range(10)])
    start = time.process_time()
    assert list(similar.pairs()) == [("0", "3999", 10)]
    assert time.process_time() - start < 5


@pytest.mark.parametrize("source", ["x =", "(" * 10_000, "-" * 90_000 + "1", "\0", "x\n" * 90_000])
def test_shapes_of_what_cannot_be_parsed(source: str) -> None:
    assert len(shape([source, "x = 1"])) <= 400


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "--"])
def test_a_formula_becomes_text_and_a_lone_dash_stays(formula: str) -> None:
    assert cell(formula) == f"'{formula}"
    assert cell("-") == "-"
