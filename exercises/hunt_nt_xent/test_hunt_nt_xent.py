"""The rubric of the hunt for NT-Xent: its floor, its symmetry, its values."""

import torch
from torch import Tensor
from torch.nn import functional

from course_losses.grading import Case, criterion, gradient, mistake

NEEDS = ["nt_xent"]


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


@criterion("Perfect pairs cost next to nothing", points=1, cases=perfect)
def test_perfect(student, case):
    value = student.nt_xent(case.z_a, case.z_b, temperature=case.temperature)
    return None if value is None else 1 + value  # compared with 1: in float32 it is noise


@criterion("The value follows the definition, with both views as anchors", points=1, cases=views)
def test_value(student, case):
    return student.nt_xent(case.z_a, case.z_b, temperature=case.temperature)


@criterion("Exchanging the views changes nothing", points=1, cases=views, after="test_perfect")
def test_symmetry(student, case):
    forward = student.nt_xent(case.z_a, case.z_b, temperature=case.temperature)
    backward = student.nt_xent(case.z_b, case.z_a, temperature=case.temperature)
    return forward, backward


@criterion("The gradients of both views are right", points=1, cases=views, after="test_value")
def test_gradient(student, case):
    value, slopes, _ = gradient(student.nt_xent, case.z_a, case.z_b, case.temperature)
    if isinstance(value, Tensor):
        assert None not in slopes, "No gradient reaches one of the views: something was detached."
    return value, slopes


@criterion(
    "A temperature of 0.001 overflows nothing, and the default is ½",
    points=1,
    cases=cold,
    after="test_value",
)
def test_cold(student, case):
    value = student.nt_xent(case.z_a, case.z_b, temperature=case.temperature)
    if isinstance(value, Tensor):
        assert torch.isfinite(value).all(), (
            "At temperature 0.001 the value is not finite: exp(1000) overflows. Keep logsumexp."
        )
    return value, student.nt_xent(case.z_a, case.z_b)


def one_direction(z_a: Tensor, z_b: Tensor, temperature: float, twice: bool) -> Tensor:
    """Only z_a as anchors, with the positive once or twice below the line."""
    n = len(z_a)
    z = functional.normalize(torch.cat([z_a, z_b]), dim=1)
    scores = z[:n] @ z.T / temperature
    positive = scores[:, n:].diagonal()
    rest = scores.masked_fill(torch.eye(n, 2 * n, dtype=torch.bool), -torch.inf)
    if twice:
        rest = torch.cat([positive.unsqueeze(1), rest], dim=1)
    return (rest.logsumexp(1) - positive).mean()


def with_itself(z_a: Tensor, z_b: Tensor, temperature: float) -> Tensor:
    z = functional.normalize(torch.cat([z_a, z_b]), dim=1)
    scores = z @ z.T / temperature
    n = len(z_a)
    rows = torch.arange(2 * n)
    positive = scores[rows, rows.roll(n)]
    return (scores.logsumexp(1) - positive).mean()


@mistake(
    "nt_xent",
    "The positive stands twice in the denominator: its column is still among the negatives. So "
    "the loss never falls below log 2. And only the first view is an anchor.",
)
def as_given(right, z_a, z_b, temperature=0.5):
    return one_direction(z_a, z_b, temperature, twice=True)


@mistake(
    "nt_xent",
    "The positive stands twice in the denominator: its column is still among the negatives. So "
    "the loss never falls below log 2.",
)
def twice_both_ways(right, z_a, z_b, temperature=0.5):
    first = one_direction(z_a, z_b, temperature, twice=True)
    return (first + one_direction(z_b, z_a, temperature, twice=True)) / 2


@mistake(
    "nt_xent",
    "The anchor itself stands in the denominator: e^(1/τ), as large as a perfect positive. So the "
    "loss never falls below log 2. Mask the diagonal.",
)
def itself(right, z_a, z_b, temperature=0.5):
    return with_itself(z_a, z_b, temperature)


@mistake(
    "nt_xent",
    "Only one view is an anchor. All 2N views are: rows n to 2n − 1 count as well.",
)
def first_view_only(right, z_a, z_b, temperature=0.5):
    return one_direction(z_a, z_b, temperature, twice=False)


@mistake("nt_xent", "Only one view is an anchor. All 2N views are: rows 0 to n − 1 count as well.")
def second_view_only(right, z_a, z_b, temperature=0.5):
    return one_direction(z_b, z_a, temperature, twice=False)


@mistake(
    "nt_xent",
    "Log 2 was subtracted. That moves the floor to 0 and leaves every other value wrong. Take the "
    "positive out where it is counted twice.",
)
def shifted(right, z_a, z_b, temperature=0.5):
    return as_given.spoil(right, z_a, z_b, temperature) - torch.tensor(2.0).log()


@mistake(
    "nt_xent",
    "Log 2 was subtracted. That moves the floor to 0 and leaves every other value wrong. Take the "
    "positive out where it is counted twice.",
)
def shifted_both_ways(right, z_a, z_b, temperature=0.5):
    return twice_both_ways.spoil(right, z_a, z_b, temperature) - torch.tensor(2.0).log()


@mistake(
    "nt_xent",
    "The positive is missing in the denominator: the loss has no lower bound. It belongs there "
    "once.",
)
def no_positive(right, z_a, z_b, temperature=0.5):
    n = len(z_a)
    z = functional.normalize(torch.cat([z_a, z_b]), dim=1)
    scores = z @ z.T / temperature
    hidden = torch.eye(n, dtype=torch.bool).repeat(2, 2)
    rows = torch.arange(2 * n)
    positive = scores[rows, rows.roll(n)]
    return (scores.masked_fill(hidden, -torch.inf).logsumexp(1) - positive).mean()


@mistake(
    "nt_xent",
    "Only scores across the views are in the denominator. The anchor's own view holds negatives, "
    "too.",
)
def across_only(right, z_a, z_b, temperature=0.5):
    a, b = functional.normalize(z_a, dim=1), functional.normalize(z_b, dim=1)
    scores, labels = a @ b.T / temperature, torch.arange(len(a))
    both = functional.cross_entropy(scores, labels) + functional.cross_entropy(scores.T, labels)
    return both / 2


@mistake("nt_xent", "The anchors' losses are summed. Their mean over all 2N is asked for.")
def summed(right, z_a, z_b, temperature=0.5):
    return right(z_a, z_b, temperature) * 2 * len(z_a)


@mistake("nt_xent", "Twice the value: divide by 2N anchors, not by N.")
def doubled(right, z_a, z_b, temperature=0.5):
    return 2 * right(z_a, z_b, temperature)


@mistake("nt_xent", "Half the value: divide by 2N anchors once.")
def halved(right, z_a, z_b, temperature=0.5):
    return right(z_a, z_b, temperature) / 2


@mistake("nt_xent", "temperature is not used: this is the value at ½.")
def fixed_temperature(right, z_a, z_b, temperature=0.5):
    return right(z_a, z_b, 0.5)


@mistake("nt_xent", "The scores are multiplied by the temperature. Divide by it.")
def warm(right, z_a, z_b, temperature=0.5):
    return right(z_a, z_b, 1 / temperature)


@mistake("nt_xent", "The sign is wrong: this is the negative of the loss.")
def negative(right, z_a, z_b, temperature=0.5):
    return -right(z_a, z_b, temperature)


@mistake("nt_xent", "No gradient arrives: the result was detached, by .item() or .detach().")
def detached(right, z_a, z_b, temperature=0.5):
    return right(z_a.detach(), z_b.detach(), temperature)
