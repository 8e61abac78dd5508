"""Multi-task: the losses of several tasks as one tensor, and what GradNorm refuses."""

from functools import partial

import torch
from losses.case import Case, Refused

import course_losses as cl


def as_tensor(generator: torch.Generator) -> tuple[torch.Tensor]:
    return (torch.rand(3, generator=generator, dtype=torch.float64) + 0.5,)


weighted = partial(cl.WeightedSum, [0.5, 2.0, 1.0])
of_kinds = partial(cl.UncertaintyWeighting, 3, ["regression", "classification", "regression"])
balanced = partial(cl.GradNorm, 3)

# tasks are no examples: their order decides which weight they get
of_tasks = partial(Case, shape=None, permutable=False)
CASES = [
    of_tasks("weighted sum", weighted, as_tensor),
    of_tasks("uncertainty weighting", partial(cl.UncertaintyWeighting, 3), as_tensor),
    of_tasks("uncertainty weighting kinds", of_kinds, as_tensor),
    of_tasks("gradnorm", balanced, as_tensor),
]

two, three = torch.ones(2), torch.ones(3)
shared = torch.ones(2, requires_grad=True)
COMBINERS = {"weighted sum": weighted, "uncertainty": of_kinds, "gradnorm": balanced}


def update(losses: object, parameter: torch.Tensor = shared) -> None:
    cl.GradNorm(2).update(losses, parameter)


def after_backward() -> None:
    losses = [shared.square().sum(), shared.exp().sum()]
    sum(losses).backward()
    update(losses)


REFUSED = [
    *(
        row
        for name, combine in COMBINERS.items()
        for row in [
            Refused(
                f"{name}: two losses",
                lambda combine=combine: combine()(two),
                ValueError,
                r"losses must hold 3 losses, one per task, got shape \(2,\)",
            ),
            Refused(
                f"{name}: list of two",
                lambda combine=combine: combine()([*two]),
                ValueError,
                r"losses must hold 3 losses, one per task, got shape \(2,\)",
            ),
            Refused(
                f"{name}: no losses",
                lambda combine=combine: combine()([]),
                ValueError,
                "losses is empty",
            ),
            Refused(
                f"{name}: column",
                lambda combine=combine: combine()(three[:, None]),
                ValueError,
                r"losses must hold 3 losses, one per task, got shape \(3, 1\)",
            ),
            Refused(
                f"{name}: unreduced",
                lambda combine=combine: combine()([three, three, three]),
                ValueError,
                r"losses\[0\] must be one number, got shape \(3,\): take its mean",
            ),
            Refused(
                f"{name}: numbers",
                lambda combine=combine: combine()([1.0, 2.0, 3.0]),
                TypeError,
                r"losses\[0\] must be a torch.Tensor, got float",
            ),
            Refused(
                f"{name}: dictionary",
                lambda combine=combine: combine()({"a": two[0]}),
                TypeError,
                "losses must be a list of scalar losses or a tensor, got dict",
            ),
        ]
    ),
    Refused(
        "no weights", lambda: cl.WeightedSum([]), ValueError, "number of weights must be at least"
    ),
    Refused(
        "negative weight",
        lambda: cl.WeightedSum([1.0, -0.5]),
        ValueError,
        r"weights\[1\] must be in \[0, inf\), got -0.5",
    ),
    Refused(
        "no tasks", lambda: cl.UncertaintyWeighting(0), ValueError, "num_tasks must be at least 1"
    ),
    Refused(
        "one kind for two tasks",
        lambda: cl.UncertaintyWeighting(2, ["regression"]),
        ValueError,
        r"kinds must hold 2 kinds, one per task, got \['regression'\]",
    ),
    Refused(
        "unknown kind",
        lambda: cl.UncertaintyWeighting(2, ["regression", "ranking"]),
        ValueError,
        r"kinds\[1\] must be one of 'regression', 'classification', got 'ranking'",
    ),
    Refused(
        "gradnorm of no task", lambda: cl.GradNorm(0), ValueError, "num_tasks must be at least 1"
    ),
    Refused("gradnorm alpha -1", lambda: cl.GradNorm(2, alpha=-1), ValueError, "alpha must be in"),
    Refused(
        "gradnorm lr 0",
        lambda: cl.GradNorm(2, lr=0),
        ValueError,
        r"lr must be in \(0, inf\), got 0",
    ),
    Refused(
        "gradnorm: zero first loss",
        lambda: cl.GradNorm(2)([two[0], 0 * two[0]]),
        ValueError,
        r"losses must be positive when first seen, got \[1.0, 0.0\]",
    ),
    Refused(
        "gradnorm: zero first loss in update",
        lambda: update([shared.sum(), 0 * shared.sum()]),
        ValueError,
        r"losses must be positive when first seen, got \[2.0, 0.0\]",
    ),
    Refused(
        "gradnorm: negative loss",
        lambda: update([shared.sum(), -shared.sum()]),
        ValueError,
        r"losses must not be negative, got \[2.0, -2.0\]",
    ),
    Refused(
        "gradnorm: nan",
        lambda: update([shared.sum(), shared.sum() * float("nan")]),
        ValueError,
        "losses must not be negative, got .*nan",
    ),
    Refused(
        "gradnorm: three losses for two tasks",
        lambda: update([shared.sum()] * 3),
        ValueError,
        "losses must hold 2 losses",
    ),
    Refused(
        "gradnorm: a loss apart",
        lambda: update([shared.sum(), torch.ones((), requires_grad=True) * 2]),
        ValueError,
        r"losses\[1\] does not depend on shared_parameter",
    ),
    Refused(
        "gradnorm: detached losses",
        lambda: update([shared.sum().detach(), shared.sum()]),
        RuntimeError,
        r"losses\[0\] has no graph .* call update\(\) before backward\(\)",
    ),
    Refused("gradnorm: after backward", after_backward, RuntimeError, r"losses\[0\] has no graph"),
    Refused(
        "gradnorm: module as parameter",
        lambda: update([shared.sum()] * 2, torch.nn.Linear(1, 1)),
        TypeError,
        "shared_parameter must be a torch.Tensor, got Linear",
    ),
]
