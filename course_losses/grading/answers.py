"""Right answers, the answers of each known mistake, and the comparison of a student's with them."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from .notebook import solution_names
from .rubric import Case, Criterion, Mistake, RubricError
from .student import StudentError, here

# How far a hidden answer was missed, in words: no number that helps to work it back.
OFF = ((0.01, "less than 1%"), (0.1, "less than 10%"), (0.5, "less than half"))


@dataclass
class Asked:
    """One case with the right answer and the answer of each mistake that has one."""

    case: Case
    right: Any
    mistaken: dict[str, Any] = field(default_factory=dict)


class Answers(Protocol):
    """Where the right answers come from."""

    public: bool

    def of(self, criterion: Criterion) -> Sequence[Asked]: ...


class Drawn:
    """Cases drawn from a seed, answered by the solution. Each criterion's are drawn once a run."""

    public = False

    def __init__(self, seed: int, solution: Path, mistakes: Sequence[Mistake]) -> None:
        self.seed, self.mistakes = seed, mistakes
        with default_dtype():
            try:
                self.solution = solution_names(solution)
            except Exception as error:
                told = f"{solution} does not run: {type(error).__name__}: {error}"
                raise RubricError(told) from error
            self._dtype = torch.get_default_dtype()
        self._asked: dict[str, list[Asked]] = {}

    def of(self, criterion: Criterion) -> Sequence[Asked]:
        if criterion.name not in self._asked:
            with default_dtype(self._dtype):
                self._asked[criterion.name] = [
                    self._answered(criterion, number) for number in range(criterion.count)
                ]
        return self._asked[criterion.name]

    def _answered(self, criterion: Criterion, number: int) -> Asked:
        label = f"{self.seed} {criterion.name} {number}".encode()
        seed = int.from_bytes(hashlib.sha256(label).digest()[:6], "big")
        case = criterion.cases(torch.Generator().manual_seed(seed))
        asked = Asked(case, criterion.ask(here(self.solution), case))
        for mistake in self.mistakes:
            with suppress(StudentError, AssertionError):  # it has no answer to this question
                spoiled = here(mistake.applied(self.solution))
                answer = criterion.ask(spoiled, case)
                if same(answer, answer, criterion.tolerance):  # a NaN is like nothing
                    asked.mistaken[mistake.name] = answer
        return asked


@contextmanager
def default_dtype(dtype: torch.dtype | None = None) -> Iterator[None]:
    """Keeps what happens inside from changing torch's default dtype; inside it is ``dtype``."""
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype or before)
        yield
    finally:
        torch.set_default_dtype(before)


class Stored:
    """The learner's cases, from the file that ``course-losses release`` wrote.

    ``released`` is the digest of the notebook's graded cells as they were handed out.
    """

    public = True

    def __init__(self, path: Path) -> None:
        try:
            self._criteria = json.loads(path.read_text(encoding="utf-8"))
            self.released = str(self._criteria["released"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RubricError(
                f"{path} cannot be read ({type(error).__name__}). It belongs beside the notebook: "
                "take it from the course again."
            ) from None

    def of(self, criterion: Criterion) -> Sequence[Asked]:
        if criterion.name not in self._criteria:
            raise RubricError(f"{criterion.name} has no stored cases: run `course-losses release`")
        rows = self._criteria[criterion.name]
        return [
            Asked(Case(**thawed(r["case"])), thawed(r["right"]), thawed(r["mistaken"]))
            for r in rows
        ]


def stored(released: str, answers: Answers, criteria: Sequence[Criterion]) -> str:
    """What :class:`Stored` reads: the notebook's digest, and every case of every criterion."""
    rows = {
        line.name: [
            {"case": frozen(vars(a.case)), "right": frozen(a.right), "mistaken": frozen(a.mistaken)}
            for a in answers.of(line)
        ]
        for line in criteria
    }
    return json.dumps({"released": released, **rows}, indent=1, ensure_ascii=False) + "\n"


def frozen(value: Any) -> Any:
    """``value`` as JSON: numbers and texts as they are, tensors as their bytes in base64."""
    if isinstance(value, Tensor):
        return {
            "tensor": str(value.dtype).removeprefix("torch."),
            "shape": list(value.shape),
            "grad": value.requires_grad,
            "data": base64.b64encode(value.detach().contiguous().numpy().tobytes()).decode(),
        }
    if isinstance(value, dict):
        return {str(key): frozen(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [frozen(item) for item in value]
    return value


def thawed(value: Any) -> Any:
    if isinstance(value, list):
        return [thawed(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" not in value:
        return {key: thawed(item) for key, item in value.items()}
    dtype = getattr(torch, value["tensor"])
    data = bytearray(base64.b64decode(value["data"]))
    flat = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
    return flat.reshape(value["shape"]).requires_grad_(value["grad"])


def same(answer: Any, right: Any, tolerance: float) -> bool:
    """Whether two answers agree: numbers and tensors within ``tolerance``, the rest exactly."""
    if _numeric(answer) and _numeric(right):
        a, b = _flat(answer), _flat(right)
        return a.shape == b.shape and _near(a, b, tolerance)
    if isinstance(answer, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(answer) == len(right) and all(
            same(a, b, tolerance) for a, b in zip(answer, right, strict=True)
        )
    if isinstance(answer, dict) and isinstance(right, dict):
        return answer.keys() == right.keys() and all(
            same(answer[key], right[key], tolerance) for key in right
        )
    return type(answer) is type(right) and bool(answer == right)


def difference(answer: Any, right: Any, tolerance: float, public: bool) -> str:
    """The first place where two answers part, in words; the right number only if ``public``."""
    if _numeric(answer) and _numeric(right):
        return _numbers(answer, right, public)
    if isinstance(right, (list, tuple)) and isinstance(answer, (list, tuple)):
        if len(answer) != len(right):
            return f"{len(answer)} values instead of {len(right)}"
        pairs = list(zip(answer, right, strict=True))
        return next(
            (difference(a, b, tolerance, public) for a, b in pairs if not same(a, b, tolerance)), ""
        )
    if isinstance(right, dict) and isinstance(answer, dict):
        if answer.keys() != right.keys():
            return f"others than the keys {sorted(map(str, right))}"
        keys = [key for key in right if not same(answer[key], right[key], tolerance)]
        told = [difference(answer[key], right[key], tolerance, public) for key in keys[:1]]
        return f"{keys[0]}: {told[0]}" if told else ""
    if type(answer) is type(right) and not public:
        return "another value than the right one"
    return f"{_shown(answer, public)} instead of {_shown(right, public)}"


def _numbers(answer: Any, right: Any, public: bool) -> str:
    a, b = torch.as_tensor(answer), torch.as_tensor(right)
    if a.numel() == 0 and b.numel() > 0:
        return "a result without any number"
    if a.shape != b.shape and a.numel() != b.numel():
        return f"a result of shape {tuple(a.shape)} instead of {tuple(b.shape)}"
    if not bool(torch.isfinite(a).all()):
        return "a result that is not finite"
    a, b = _flat(a), _flat(b)
    error = ((a - b).norm() / b.norm().clamp(min=1e-30)).item()
    if public:
        if b.numel() == 1:
            return f"{a.item():.4g} instead of {b.item():.4g}"
        return f"values that are off by {100 * error:.3g}%"
    about = next((words for limit, words in OFF if error < limit), "half or more")
    if b.numel() == 1:
        return f"a value that is too {'large' if a > b else 'small'}, by {about}"
    return f"values that are off by {about}"


def _shown(value: Any, public: bool) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, (bool, int, float)):
        return repr(value)[:20] if public else f"a {type(value).__name__}"
    if isinstance(value, (list, tuple)):  # on its way here a tuple becomes a list
        return "a tuple or list"
    return "a dictionary" if isinstance(value, dict) else "a text or another object"


def _numeric(value: Any) -> bool:
    return isinstance(value, (Tensor, int, float)) and not isinstance(value, bool)


def _flat(value: Any) -> Tensor:
    return torch.as_tensor(value).detach().to(torch.float64).flatten()


def _near(a: Tensor, b: Tensor, tolerance: float) -> bool:
    limit = tolerance * b.norm().item() + 1e-7
    return math.isfinite(limit) and (a - b).norm().item() <= limit
