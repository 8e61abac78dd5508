"""Reading notebooks: a stranger's file with care, the solution to run it."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Windows knows none of the first, and needs the last.
FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
READING = os.O_RDONLY | sum(getattr(os, name, 0) for name in FLAGS)
MAX_FILE = 20 << 20
MAX_CODE = 1 << 20
MAX_CELLS = 10_000


class InvalidNotebookError(Exception):
    """The file is not a notebook that can be graded; the message says why."""


@dataclass
class Cell:
    """A code cell: its source and its tags."""

    source: str
    tags: list[str] = field(default_factory=list)


def read_file(path: Path) -> bytes:
    """The bytes of a regular file of reasonable size; no link is followed, no pipe waited for."""
    try:
        handle = os.open(path, READING)
    except OSError as error:
        kind = "a link" if path.is_symlink() else f"unreadable ({error.strerror})"
        raise InvalidNotebookError(f"the file is {kind}") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidNotebookError("the file is not a regular file")
        if status.st_size > MAX_FILE:
            raise InvalidNotebookError(f"the file is too large (more than {MAX_FILE >> 20} MB)")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(MAX_FILE)
    finally:
        os.close(handle)


def code_cells(content: bytes) -> list[Cell]:
    """The code cells of a notebook of any format version."""
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise InvalidNotebookError("the file is not a notebook (no JSON)") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if cells is None and isinstance(notebook, dict):  # format 3 and older
        sheets = notebook.get("worksheets")
        cells = sheets[0] if isinstance(sheets, list) and sheets else None
        cells = cells.get("cells") if isinstance(cells, dict) else None
    if not isinstance(cells, list):
        raise InvalidNotebookError("the file is not a notebook (no cells)")
    found = [_cell(cell) for cell in cells if _is_code(cell)]
    if len(found) > MAX_CELLS or sum(len(cell.source) for cell in found) > MAX_CODE:
        told = f"more than {MAX_CELLS} code cells or {MAX_CODE >> 20} million characters"
        raise InvalidNotebookError(f"there is too much code to run ({told})")
    return found


def work(cells: Sequence[Cell]) -> str:
    """The digest of the cells that are graded: as released, or touched."""
    sources = [cell.source.strip() for cell in cells if "ungraded" not in cell.tags]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def _is_code(cell: Any) -> bool:
    return isinstance(cell, dict) and cell.get("cell_type") == "code"


def _cell(cell: dict[str, Any]) -> Cell:
    source = cell.get("source", cell.get("input", ""))
    lines = source if isinstance(source, list) else [source]
    if not all(isinstance(line, str) for line in lines):
        raise InvalidNotebookError("the file is not a notebook (a cell's source is no text)")
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else []
    return Cell(
        "".join(lines), [t for t in tags if isinstance(t, str)] if isinstance(tags, list) else []
    )


def solution_names(path: Path) -> dict[str, Any]:
    """What the solution's notebook defines; cells tagged ``ungraded`` are not run."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(code_cells(path.read_bytes()), start=1):
        if "ungraded" not in cell.tags:
            exec(compile(cell.source, f"<cell {number}>", "exec"), names)
    return names
