"""The rubric of the hunt for the clip: one length for all tensors, one direction."""

import torch

from course_losses.grading import Case, beside, criterion, mistake

NEEDS = ["clip_gradients"]


def clipped(clip, gradients, max_norm, as_generator=False):
    """What a clip leaves of these gradients; None stays None."""
    layers = []
    for given in gradients:
        layer = nn.Parameter(torch.zeros(3 if given is None else given.shape))  # noqa: F821
        layer.grad = None if given is None else given.clone()
        layers.append(layer)
    clip((layer for layer in layers) if as_generator else layers, max_norm)
    return [layer.grad for layer in layers]


def drawn(scales: list[float], random: torch.Generator) -> list[torch.Tensor]:
    shapes = [(4, 3), (4,), (2, 4), (2,)]
    pairs = zip(scales, shapes, strict=False)
    return [scale * torch.randn(shape, generator=random) for scale, shape in pairs]


def long(random: torch.Generator) -> Case:
    """Some tensors are longer than the limit, some shorter."""
    limit = round(0.5 + torch.rand((), generator=random).item(), 2)
    return Case(gradients=drawn([3.0, 0.1, 20.0, 0.01], random), max_norm=limit)


def long_together(random: torch.Generator) -> Case:
    """Each is shorter than the limit, all of them together are longer."""
    gradients = [g / g.norm() for g in drawn([1.0] * 4, random)]
    return Case(gradients=gradients, max_norm=1.3)


def short(random: torch.Generator) -> Case:
    return Case(gradients=drawn([0.1, 0.2, 0.01, 0.3], random), max_norm=5.0)


def with_frozen(random: torch.Generator) -> Case:
    case = long(random)
    case.gradients[1] = None
    return case


def total(gradients) -> float:
    return torch.cat([g.flatten() for g in gradients]).norm().item()


@criterion("The norm of all gradients together becomes max_norm", points=1, cases=long)
def test_total(student, case):
    return total(beside(student, clipped, student.clip_gradients, case.gradients, case.max_norm))


@criterion(
    "… also where each tensor alone is short enough",
    points=1,
    cases=long_together,
)
def test_together(student, case):
    return beside(student, clipped, student.clip_gradients, case.gradients, case.max_norm)


@criterion(
    "The direction stays, and what is short enough stays as it is",
    points=1,
    cases=long,
    after="test_total",
)
def test_direction(student, case):
    gradients = beside(student, clipped, student.clip_gradients, case.gradients, case.max_norm)
    untouched = beside(student, clipped, student.clip_gradients, case.gradients, 1000.0)
    return gradients, untouched


@criterion(
    "model.parameters(), which can be walked only once, is clipped too",
    points=1,
    cases=long,
    after="test_total",
)
def test_generator(student, case):
    clip, gradients = student.clip_gradients, case.gradients
    after = beside(student, clipped, clip, gradients, case.max_norm, as_generator=True)
    assert total(after) < 0.999 * total(gradients), (
        "A generator is empty after the first pass, so nothing was clipped. First make a list."
    )
    return after


@criterion(
    "A frozen parameter, without gradient, is left alone",
    points=1,
    cases=with_frozen,
    count=1,
    after="test_total",
)
def test_frozen(student, case):
    return beside(student, clipped, student.clip_gradients, case.gradients, case.max_norm)


@mistake(
    "clip_gradients",
    "Each tensor is clipped by itself, so the norm of all is up to √P times max_norm and the "
    "direction is lost. First the norm of everything, then one factor for all.",
)
def each_by_itself(right, parameters, max_norm):
    for parameter in parameters:
        right([parameter], max_norm)


@mistake("clip_gradients", "Nothing is clipped.")
def nothing(right, parameters, max_norm):
    pass


@mistake(
    "clip_gradients",
    "Each tensor is clipped to max_norm / P. That keeps the norm down, but the direction is lost.",
)
def equal_shares(right, parameters, max_norm):
    parameters = list(parameters)
    for parameter in parameters:
        right([parameter], max_norm / len(parameters))


@mistake(
    "clip_gradients",
    "Each tensor is clipped to max_norm / √P. The direction is lost, and short tensors stay.",
)
def root_shares(right, parameters, max_norm):
    parameters = list(parameters)
    for parameter in parameters:
        right([parameter], max_norm / len(parameters) ** 0.5)


@mistake("clip_gradients", "Every value is clipped. The norm is to be clipped, by one factor.")
def values(right, parameters, max_norm):
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.clamp_(-max_norm, max_norm)


@mistake(
    "clip_gradients",
    "The norms are added up. Their squares add up: the norm of all is the root of that sum.",
)
def norms_added(right, parameters, max_norm):
    parameters = [p for p in parameters if p.grad is not None]
    norm = sum(p.grad.norm() for p in parameters)
    for parameter in parameters:
        parameter.grad *= (max_norm / norm).clamp(max=1)


@mistake("clip_gradients", "The largest tensor's norm is used. The norm of all together is meant.")
def largest(right, parameters, max_norm):
    parameters = [p for p in parameters if p.grad is not None]
    norm = max(p.grad.norm() for p in parameters)
    for parameter in parameters:
        parameter.grad *= (max_norm / norm).clamp(max=1)


@mistake("clip_gradients", "The root is missing: this divides by the sum of squares.")
def squared(right, parameters, max_norm):
    parameters = [p for p in parameters if p.grad is not None]
    norm = sum(p.grad.square().sum() for p in parameters)
    for parameter in parameters:
        parameter.grad *= (max_norm / norm).clamp(max=1)


@mistake(
    "clip_gradients",
    "Gradients that are short enough are made longer. Scale only where the norm exceeds max_norm.",
)
def always(right, parameters, max_norm):
    parameters = [p for p in parameters if p.grad is not None]
    for parameter in parameters:
        parameter.grad *= 1e6
    right(parameters, max_norm)


@mistake("clip_gradients", "The gradients are set to zero instead of shortened.")
def zeroed(right, parameters, max_norm):
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.zero_()
