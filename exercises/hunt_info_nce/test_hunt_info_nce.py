"""The rubric of the hunt for InfoNCE: each row's label is the column of its positive."""

import torch
from torch import Tensor
from torch.nn import functional

from course_losses.grading import Case, criterion, gradient, mistake
from course_losses.grading.student import StudentError

NEEDS = ["info_nce"]


def perfect(random: torch.Generator) -> Case:
    """The two views of a picture are the same, at right angles to all others."""
    axes, _ = torch.linalg.qr(torch.randn(6, 6, generator=random, dtype=torch.float64))
    length = 1 + torch.rand(6, 1, generator=random)
    return Case(z_a=axes * length, z_b=axes * length.flip(0), temperature=0.07)


def views(random: torch.Generator) -> Case:
    z_a, noise = torch.randn(2, 5, 8, generator=random)
    temperature = round(0.2 + 0.6 * torch.rand((), generator=random).item(), 2)
    z_a, z_b = 3 * z_a, z_a + noise
    return Case(z_a=z_a.requires_grad_(), z_b=z_b.requires_grad_(), temperature=temperature)


def cold(random: torch.Generator) -> Case:
    case = views(random)
    case.temperature = 0.001
    return case


def asked(student, case):
    try:
        return student.info_nce(case.z_a, case.z_b, temperature=case.temperature)
    except StudentError as error:
        if error.kind == "IndexError":
            raise AssertionError(
                f"IndexError in {error.place}: a label names a column that is gone. Deleting the "
                "diagonal moved what stood right of it, and so the positives of the first half."
            ) from None
        raise


@criterion("Perfect pairs: no crash, and next to no loss", points=1, cases=perfect)
def test_perfect(student, case):
    value = asked(student, case)
    return None if value is None else 1 + value  # compared with 1: in float32 it is noise


@criterion("The value follows the definition, in every row", points=1, cases=views)
def test_value(student, case):
    return asked(student, case)


@criterion("Exchanging the views changes nothing", points=1, cases=views, after="test_perfect")
def test_symmetry(student, case):
    forward = student.info_nce(case.z_a, case.z_b, temperature=case.temperature)
    backward = student.info_nce(case.z_b, case.z_a, temperature=case.temperature)
    return forward, backward


@criterion("The gradients of both views are right", points=1, cases=views, after="test_value")
def test_gradient(student, case):
    value, slopes, _ = gradient(student.info_nce, case.z_a, case.z_b, case.temperature)
    if isinstance(value, Tensor):
        assert None not in slopes, "No gradient reaches one of the views: something was detached."
    return value, slopes


@criterion(
    "A temperature of 0.001 overflows nothing, and the default is 0.07",
    points=1,
    cases=cold,
    after="test_value",
)
def test_cold(student, case):
    value = student.info_nce(case.z_a, case.z_b, temperature=case.temperature)
    if isinstance(value, Tensor):
        assert torch.isfinite(value).all(), (
            "At temperature 0.001 the value is not finite: exp(1000) overflows. Keep logsumexp."
        )
    return value, student.info_nce(case.z_a, case.z_b)


MOVED = "Deleting the diagonal moves what is right of it one column to the left. "


def deleted(z_a: Tensor, z_b: Tensor, temperature: float) -> Tensor:
    """The scores without the diagonal."""
    z = functional.normalize(torch.cat([z_a, z_b]), dim=1)
    scores = z @ z.T / temperature
    return scores[~torch.eye(len(z), dtype=torch.bool)].view(len(z), len(z) - 1)


def given(n: int) -> Tensor:
    """The labels of the faulty code."""
    return torch.cat([torch.arange(n) + n, torch.arange(n)])


@mistake(
    "info_nce",
    "The label that crashed is clamped, and the other labels of the first half are still one "
    "column off. " + MOVED + "So their positives have moved.",
)
def clamped(right, z_a, z_b, temperature=0.07):
    n = len(z_a)
    scores = deleted(z_a, z_b, temperature)
    return functional.cross_entropy(scores, given(n).clamp(max=2 * n - 2))


@mistake(
    "info_nce",
    "The label that crashed is wrapped around, and the other labels of the first half are still "
    "one column off. " + MOVED + "So their positives have moved.",
)
def wrapped(right, z_a, z_b, temperature=0.07):
    n = len(z_a)
    return functional.cross_entropy(deleted(z_a, z_b, temperature), given(n) % (2 * n - 1))


@mistake(
    "info_nce",
    "The row that crashed is left out, and the other labels of the first half are still one "
    "column off. " + MOVED + "So their positives have moved.",
)
def left_out(right, z_a, z_b, temperature=0.07):
    n = len(z_a)
    labels = given(n)
    labels[n - 1] = -100
    return functional.cross_entropy(deleted(z_a, z_b, temperature), labels)


@mistake(
    "info_nce",
    "Both halves of the labels were moved. The positives of the second half stand left of the "
    "diagonal: they stay.",
)
def both_moved(right, z_a, z_b, temperature=0.07):
    labels = (given(len(z_a)) - 1).clamp(min=0)
    return functional.cross_entropy(deleted(z_a, z_b, temperature), labels)


@mistake(
    "info_nce",
    "Both halves of the labels were moved. The positives of the second half stand left of the "
    "diagonal: they stay.",
)
def both_moved_around(right, z_a, z_b, temperature=0.07):
    n = len(z_a)
    labels = (given(n) - 1) % (2 * n - 1)
    return functional.cross_entropy(deleted(z_a, z_b, temperature), labels)


@mistake("info_nce", "The first half is moved two columns. One entry was deleted: one column.")
def moved_twice(right, z_a, z_b, temperature=0.07):
    n = len(z_a)
    labels = torch.cat([torch.arange(n) + n - 2, torch.arange(n)])
    return functional.cross_entropy(deleted(z_a, z_b, temperature), labels)


@mistake(
    "info_nce",
    "The diagonal is back: each row competes with itself, and the loss never falls below log 2. "
    "Delete it, or set it to −∞.",
)
def itself(right, z_a, z_b, temperature=0.07):
    z = functional.normalize(torch.cat([z_a, z_b]), dim=1)
    return functional.cross_entropy(z @ z.T / temperature, given(len(z_a)))


@mistake(
    "info_nce",
    "The diagonal is set to 0, which is the score of a stranger at right angles. Delete it, or "
    "set it to −∞.",
)
def zero_diagonal(right, z_a, z_b, temperature=0.07):
    z = functional.normalize(torch.cat([z_a, z_b]), dim=1)
    scores = (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), 0.0)
    return functional.cross_entropy(scores, given(len(z_a)))


@mistake(
    "info_nce",
    "Only scores across the views are compared: that is CLIP's loss. Here each row has all others "
    "as classes, of its own view, too.",
)
def across_only(right, z_a, z_b, temperature=0.07):
    a, b = functional.normalize(z_a, dim=1), functional.normalize(z_b, dim=1)
    scores, labels = a @ b.T / temperature, torch.arange(len(a))
    both = functional.cross_entropy(scores, labels) + functional.cross_entropy(scores.T, labels)
    return both / 2


@mistake(
    "info_nce",
    "Only the rows of the first view are counted. All 2N rows are asked for.",
)
def first_half(right, z_a, z_b, temperature=0.07):
    n = len(z_a)
    z = functional.normalize(torch.cat([z_a, z_b]), dim=1)
    scores = z[:n] @ z.T / temperature
    scores = scores.masked_fill(torch.eye(n, 2 * n, dtype=torch.bool), -torch.inf)
    return functional.cross_entropy(scores, torch.arange(n) + n)


@mistake(
    "info_nce",
    "Only the rows of the second view are counted. All 2N rows are asked for.",
)
def second_half(right, z_a, z_b, temperature=0.07):
    return first_half.spoil(right, z_b, z_a, temperature)


@mistake("info_nce", "The rows' losses are summed. Their mean over all 2N is asked for.")
def summed(right, z_a, z_b, temperature=0.07):
    return right(z_a, z_b, temperature) * 2 * len(z_a)


@mistake("info_nce", "temperature is not used: this is the value at 0.07.")
def fixed_temperature(right, z_a, z_b, temperature=0.07):
    return right(z_a, z_b, 0.07)


@mistake("info_nce", "The scores are multiplied by the temperature. Divide by it.")
def warm(right, z_a, z_b, temperature=0.07):
    return right(z_a, z_b, 1 / temperature)


@mistake("info_nce", "The sign is wrong: this is the negative of the loss.")
def negative(right, z_a, z_b, temperature=0.07):
    return -right(z_a, z_b, temperature)


@mistake("info_nce", "No gradient arrives: the result was detached, by .item() or .detach().")
def detached(right, z_a, z_b, temperature=0.07):
    return right(z_a.detach(), z_b.detach(), temperature)
