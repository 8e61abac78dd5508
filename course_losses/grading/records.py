"""What a run leaves: one record per submission, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .sandbox import Limits
from .slot import KILLED, TIMEOUT, Outcome
from .submissions import Submission

HALF = ".*.part"
"""The names of files that a killed run has left half written."""


@dataclass
class Record:
    """One submission's outcome, with all that decides whether it still holds."""

    outcome: Outcome
    notebook: str
    rubric: str
    seed: int
    isolation: str
    limits: Limits

    def holds(self, notebook: str, rubric: str, limits: Limits) -> bool:
        """Whether this record is what grading again would give."""
        if (self.notebook, self.rubric) != (notebook, rubric):
            return False
        return self.outcome.status not in (TIMEOUT, KILLED) or self.limits == limits


class Records:
    """The folder of records of one run, and of every run that continues it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "records"
        self.folder.mkdir(parents=True, exist_ok=True)

    def seed(self) -> int:
        """Drawn at the first run, kept for all that follow: one class, one set of cases."""
        path = self.folder / "seed.json"
        if not path.is_file():
            write(path, json.dumps(secrets.randbits(48)))
        return int(json.loads(path.read_text()))

    def read(self, submission: Submission) -> Record | None:
        """The stored record, or ``None`` when there is none that can be read."""
        try:
            return _record(json.loads(self._path(submission).read_bytes()))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, submission: Submission, record: Record) -> None:
        text = json.dumps(asdict(record), ensure_ascii=True, allow_nan=False, indent=1)
        write(self._path(submission), text)

    def _path(self, submission: Submission) -> Path:
        key = hashlib.sha256(os.fsencode(submission.folder)).hexdigest()[:32]
        return self.folder / submission.exercise / f"{key}.json"


def _record(data: dict[str, Any]) -> Record:
    data["outcome"] = Outcome(**data["outcome"])
    data["limits"] = Limits(**data["limits"])
    return Record(**data)


def write(path: Path, text: str) -> None:
    """The whole file or none of it, even when the machine stops half-way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
