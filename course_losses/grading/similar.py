"""Hints at near-identical submissions. A hint is a reason to look, never a verdict."""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

MAX_SOURCE = 30_000
ALIKE = 0.9
LEAST = 6


def shape(sources: Sequence[str]) -> list[str]:
    """The statements of a notebook as short hashes, with names, comments and layout left out."""
    found: list[str] = []
    left = MAX_SOURCE
    for source in sources:
        left -= len(source)
        if left < 0:  # nested statements cost the square of their depth
            break
        try:
            tree = ast.parse(source)
            found += [_hash(node) for node in ast.walk(tree) if _counts(node)]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return sorted(found)[:400]


def _counts(node: ast.AST) -> bool:
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return isinstance(node, ast.stmt) and not text


def _hash(statement: ast.AST) -> str:
    for node in ast.walk(statement):
        for name in ("id", "arg", "name", "attr"):
            if isinstance(getattr(node, name, None), str):
                setattr(node, name, "_")
    return hashlib.sha256(ast.dump(statement).encode()).hexdigest()[:8]


@dataclass
class Similar:
    """The shapes of a class. What many share is the obvious way to write it, and no hint."""

    shapes: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, student: str, shape: Sequence[str]) -> None:
        self.shapes[student] = Counter(shape)

    def pairs(self) -> Iterator[tuple[str, str, int]]:
        """Students whose unusual statements nearly agree, and how many those are."""
        everyone = Counter(part for shape in self.shapes.values() for part in set(shape))
        usual = max(2, len(self.shapes) // 10)
        rare = {
            student: Counter({part: n for part, n in shape.items() if everyone[part] <= usual})
            for student, shape in self.shapes.items()
        }
        told = {student: shape for student, shape in rare.items() if shape.total() >= LEAST}
        holders: dict[str, list[str]] = {}
        for other, second in told.items():
            for one in dict.fromkeys(one for part in second for one in holders.get(part, ())):
                first = told[one]
                shared, union = (first & second).total(), (first | second).total()
                if shared >= ALIKE * union:
                    yield one, other, shared
            for part in second:
                holders.setdefault(part, []).append(other)
