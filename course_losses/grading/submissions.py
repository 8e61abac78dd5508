"""What was handed in: ``SUBMISSIONS/STUDENT/EXERCISE.ipynb``, and whatever else lies there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .text import harmless

COPY = re.compile(r"(?:\s*\(\d+\)|[-_ ]+(?:copy|\d+)[-_ ]?\d*)$", re.IGNORECASE)


@dataclass
class Submission:
    """The file that counts for one student and exercise, and the older ones that do not."""

    folder: str
    exercise: str
    path: Path
    older: list[Path] = field(default_factory=list)

    @property
    def student(self) -> str:
        return harmless(self.folder)

    @property
    def note(self) -> str:
        if not self.older:
            return ""
        return (
            f"{len(self.older) + 1} files were handed in; {harmless(self.path.name)} is the newest"
        )


@dataclass
class Ignored:
    """A file without a row of its own, and the reason."""

    path: str
    reason: str


def collect(
    root: Path, exercises: Iterable[str], out: Path, wanted: str | None = None
) -> tuple[list[Submission], list[Ignored]]:
    """Every submission below ``root``, and everything that is none."""
    known = {name.lower(): name for name in exercises}
    files: dict[tuple[str, str], list[Path]] = {}
    ignored: list[Ignored] = []
    for path, parts in _files(root, out.resolve(), known):
        exercise = known.get(exercise_name(parts[-1], known)) if len(parts) == 2 else None
        if exercise is None:
            ignored.append(Ignored(harmless("/".join(parts)), _why(path, parts, known)))
        elif wanted not in (None, exercise):
            ignored.append(Ignored(harmless("/".join(parts)), f"only {wanted} is graded"))
        else:
            files.setdefault((parts[0], exercise), []).append(path)
    submissions = []
    for (folder, exercise), paths in sorted(files.items()):
        *older, newest = sorted(paths, key=lambda path: (path.lstat().st_mtime_ns, path.name))
        submissions.append(Submission(folder, exercise, newest, older))
        reason = f"{harmless(newest.name)} is newer"
        ignored += [Ignored(harmless(f"{folder}/{path.name}"), reason) for path in older]
    return submissions, sorted(ignored, key=lambda entry: entry.path)


def _files(root: Path, out: Path, known: Iterable[str]) -> Iterator[tuple[Path, list[str]]]:
    """Everything that is no folder, and folders that pose as a notebook; links are not followed."""
    waiting: list[tuple[Path, list[str]]] = [(root, [])]
    while waiting:
        folder, parts = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            yield folder, [*parts, ""]
            continue
        for entry in entries:
            path, names = Path(entry.path), [*parts, entry.name]
            poses = len(names) == 2 and exercise_name(entry.name, known) in known
            if entry.is_dir(follow_symlinks=False) and not poses:
                if path.resolve() != out:
                    waiting.append((path, names))
            else:
                yield path, names


def exercise_name(name: str, known: Iterable[str]) -> str:
    """``tversky`` for "tversky.ipynb", "Tversky (1).ipynb"; empty for what is no notebook."""
    stem, _, kind = name.rpartition(".")
    if kind.lower() != "ipynb":
        return ""
    stem = stem.strip().lower()
    return stem if stem in known else COPY.sub("", stem).strip()


def _why(path: Path, parts: list[str], known: Iterable[str]) -> str:
    if not parts[-1]:
        return "the folder cannot be read"
    if path.is_symlink():
        return "a link"
    if len(parts) != 2:
        return "not in SUBMISSIONS/STUDENT/"
    if not parts[-1].lower().endswith(".ipynb"):
        return "not a notebook"
    return f"no exercise has this name (there are: {', '.join(sorted(known))})"
