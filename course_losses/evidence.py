"""A published claim put to the test: the criterion first, then paired differences, then a verdict.

A chapter states a :class:`Claim`, runs its experiment, and gives the claim one difference per seed.
The :class:`Verdict` shows itself as a table and leaves the same facts as JSON in the cell's stored
output, from which the evidence ledger is collected.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, stdev
from typing import Any

from scipy.special import stdtrit

__all__ = ["MIME", "Claim", "Verdict"]

MIME = "application/vnd.course-losses.evidence+json"
LEAST_SEEDS = 10


@dataclass(frozen=True)
class Claim:
    """What is said, by whom, and what the result must be for it to hold: written before the run.

    The effect is a paired difference (both arms share a seed's data), one number per seed. The
    claim holds under a condition where the 95 % t interval of its mean lies below ``below`` and
    above ``above``, as far as they are given.

    Args:
        id: a short name, unique in the book: ``"huber-robust"``.
        statement: the claim, in one sentence.
        source: who makes it, and where.
        data: the data, and how they are split and changed.
        effect: what is subtracted from what, with its unit.
        seeds: the seeds of the runs, at least 10.
        below: the upper end of the interval must be smaller.
        above: the lower end of the interval must be larger.
        limits: the least and the greatest value an effect can have, ``(0, 1)`` for a share: the
            interval ends there, since a mean beyond them is impossible.

    Raises:
        ValueError: neither bound is given, ``above`` is not less than ``below``, too few seeds, or
            one twice; from :meth:`judge`, a difference outside ``limits``.

    >>> claim = Claim("shift", "It shifts down.", "Someone (2001)", "ten coins",
    ...               "after minus before, points", range(10), below=0.0)
    >>> claim.criterion
    'the 95 % interval of the mean lies below 0'
    >>> claim.judge({"always": [-1.1, -0.9] * 5, "at night": [0.1, -0.1] * 5}).text
    'only when always'
    """

    id: str
    statement: str
    source: str
    data: str
    effect: str
    seeds: Sequence[int]
    below: float | None = None
    above: float | None = None
    limits: tuple[float, float] = field(default=(-math.inf, math.inf), repr=False)

    def __post_init__(self) -> None:
        if self.below is None and self.above is None:
            raise ValueError("give below, above or both: without a bound any result would do")
        if self.below is not None and self.above is not None and self.above >= self.below:
            raise ValueError(f"above ({self.above:g}) must be less than below ({self.below:g})")
        if len(set(self.seeds)) < max(LEAST_SEEDS, len(self.seeds)):
            raise ValueError(f"seeds must be at least {LEAST_SEEDS} different ones: {self.seeds}")

    @property
    def criterion(self) -> str:
        """The pass criterion in words."""
        bounds = {"above": self.above, "below": self.below}
        words = " and ".join(f"{side} {at:g}" for side, at in bounds.items() if at is not None)
        return f"the 95 % interval of the mean lies {words}".replace("-", "−")

    def judge(self, differences: Mapping[str, Iterable[float]]) -> "Verdict":
        """The verdict on one difference per seed, under each condition.

        Args:
            differences: condition, worded so that "only when …" reads well → the differences.

        Raises:
            ValueError: no condition, another number of differences than seeds, or one not finite.
        """
        if not differences:
            raise ValueError("differences is empty: give at least one condition")
        return Verdict(self, tuple(self._result(*item) for item in differences.items()))

    def _result(self, condition: str, differences: Iterable[float]) -> "Result":
        values = [float(value) for value in differences]
        if len(values) != len(self.seeds):
            raise ValueError(
                f"{condition!r} has {len(values)} differences for {len(self.seeds)} seeds"
            )
        if wrong := [value for value in values if not math.isfinite(value)]:
            raise ValueError(f"{condition!r} has {len(wrong)} differences that are not finite")
        least, greatest = self.limits
        if wrong := [value for value in values if not least <= value <= greatest]:
            raise ValueError(f"{condition!r}: {wrong[0]:g} is outside the limits {self.limits}")
        mean = fmean(values)
        half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / math.sqrt(len(values))
        low, high = max(mean - half, least), min(mean + half, greatest)
        holds = (self.above is None or low > self.above) and (
            self.below is None or high < self.below
        )
        places = max(0, 1 - math.floor(math.log10(half))) if half else 3
        for _ in range(3):  # more digits where rounding would put an end on or across a bound
            places += any(
                _side(round(end, places), bound) != _side(end, bound)
                for end in (low, high)
                for bound in (self.above, self.below)
                if bound is not None
            )
        mean, low, high = (round(x, places) + 0.0 for x in (mean, low, high))
        return Result(condition, mean, low, high, places, holds)

    def _repr_markdown_(self) -> str:
        return (
            f"> **Claim.** {self.statement} Source: {self.source}.\n>\n"
            f"> **Data.** {self.data}.\n>\n"
            f"> **Measured.** {self.effect[0].upper()}{self.effect[1:]}: one difference for "
            f"each of {len(self.seeds)} seeds, {min(self.seeds)} to {max(self.seeds)}.\n>\n"
            f"> **Criterion.** {self.criterion[0].upper()}{self.criterion[1:]}.\n"
        )


def _side(value: float, bound: float) -> int:
    return (value > bound) - (value < bound)


@dataclass(frozen=True)
class Result:
    """Mean difference and 95 % interval under one condition, rounded to the interval's digits."""

    condition: str
    mean: float
    low: float
    high: float
    places: int
    holds: bool

    def __str__(self) -> str:
        mean, low, high = (
            f"{value:+.{self.places}f}".replace("-", "−")
            for value in (self.mean, self.low, self.high)
        )
        return f"{mean} [{low}, {high}]"

    def row(self) -> str:
        """The condition's line in a Markdown table; the interval stays on one line."""
        condition, shown = self.condition.replace("|", "&#124;"), str(self).replace(", ", ",\u00a0")
        return f"| {condition} | {shown} | {'yes' if self.holds else 'no'} |"


@dataclass(frozen=True)
class Verdict:
    """What became of a claim. As the last line of a cell it shows its table and verdict."""

    claim: Claim
    results: tuple[Result, ...]

    @property
    def text(self) -> str:
        """ "replicates", "only when …" or "does not replicate"."""
        held = [result.condition for result in self.results if result.holds]
        if len(held) == len(self.results):
            return "replicates"
        return f"only when {', or '.join(held)}" if held else "does not replicate"

    def record(self) -> dict[str, Any]:
        """The ledger's entry."""
        return {
            "claim": self.claim.id,
            "statement": self.claim.statement,
            "source": self.claim.source,
            "data": self.claim.data,
            "effect": self.claim.effect,
            "criterion": self.claim.criterion,
            "seeds": list(self.claim.seeds),
            "results": [{**asdict(result), "shown": str(result)} for result in self.results],
            "verdict": self.text,
        }

    def __repr__(self) -> str:
        rows = [f"{r.condition}: {r} {'holds' if r.holds else 'fails'}" for r in self.results]
        return "\n".join([*rows, f"{self.claim.id}: {self.text}"])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        table = [
            "| when | mean difference [95 %] | holds |",
            "|---|---|---|",
            *(r.row() for r in self.results),
        ]
        lines = [f"*{self.claim.statement}*", "", *table, "", f"**Verdict: {self.text}.**", ""]
        return {"text/plain": repr(self), "text/markdown": "\n".join(lines), MIME: self.record()}
