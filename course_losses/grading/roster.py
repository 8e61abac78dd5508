"""The list of a class: the sheet that Canvas or Moodle exports, or any table with names."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

CANVAS, MOODLE, PLAIN = "canvas", "moodle", "plain"
# Columns that may hold what a submission's folder is called, the surest first.
KEYS = {
    CANVAS: ("SIS Login ID", "SIS User ID", "ID", "Student"),
    MOODLE: ("Email address", "Username", "ID number", "Identifier", "Full name"),
}
MOODLE_FOLDER = re.compile(r"_(\d+)_assignsubmission_")


class RosterError(ValueError):
    """The roster cannot be read; the message says what is expected."""


@dataclass
class Roster:
    """The rows of a sheet, and which kind of sheet it is."""

    header: list[str]
    lines: list[list[str]]
    kind: str
    delimiter: str

    def keys(self, line: list[str]) -> list[str]:
        """What this student's folder may be called."""
        named = dict(zip(self.header, line, strict=False))
        if self.kind == PLAIN:
            return [text for text in line if text]
        found = [named[key] for key in KEYS[self.kind] if named.get(key)]
        if "First name" in named:
            found.append(f"{named['First name']} {named.get('Last name', '')}".strip())
        return found

    def find(self, folder: str) -> list[str] | None:
        """The line of the student whose folder this is."""
        from_moodle = MOODLE_FOLDER.search(folder)
        wanted = {folder.strip().casefold()}
        if from_moodle:
            wanted.add(f"participant {from_moodle[1]}")
        return next((self._by_key[name] for name in wanted if name in self._by_key), None)

    @cached_property
    def _by_key(self) -> dict[str, list[str]]:
        return {key.casefold(): line for line in self.lines for key in self.keys(line)}


def read_roster(path: Path) -> Roster:
    """Reads a roster.

    Raises:
        RosterError: it is no table with a header and at least one student.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RosterError(f"{path} cannot be read as UTF-8 text: {error}") from None
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    table = [line for line in csv.reader(io.StringIO(text), delimiter=delimiter) if any(line)]
    if len(table) < 2:
        raise RosterError(f"{path} needs a header and one line for each student")
    header = [name.strip() for name in table[0]]
    return Roster(header, table[1:], _kind(header), delimiter)


def _kind(header: list[str]) -> str:
    if header[:2] == ["Student", "ID"]:
        return CANVAS
    if "Identifier" in header or "Email address" in header:
        return MOODLE
    return PLAIN


def is_student(line: list[str]) -> bool:
    """Canvas puts the points possible, and notes of its own, between header and students."""
    return "points possible" not in line[0].casefold() and bool(line[0].strip())
