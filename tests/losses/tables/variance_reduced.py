"""Variance-reduced: a representation, a Bayesian last layer and a target."""

from functools import partial

import torch
from losses.case import Case, Refused
from torch import nn

import course_losses as cl

LOSSES = {
    "mse vr": cl.MSELossVR,
    "bce vr": cl.BCEWithLogitsLossVR,
    "cross-entropy vr": cl.CrossEntropyLossVR,
}

torch.manual_seed(0)
layer = cl.BayesianLinear(3, 4, posterior_std=0.4).double()
small = cl.BayesianLinear(3, 2)


def sampled(generator: torch.Generator) -> torch.Tensor:
    return torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)


def with_values(generator: torch.Generator) -> tuple[object, ...]:
    representation = sampled(generator)
    return representation, layer, torch.rand(7, 4, generator=generator, dtype=torch.float64)


def with_classes(generator: torch.Generator) -> tuple[object, ...]:
    return sampled(generator), layer, torch.randint(0, 4, (7,), generator=generator)


# dimension 0 holds samples in the representation and examples in the target
of_samples = partial(Case, permutable=False)

CASES = [
    of_samples("mse vr", cl.MSELossVR, with_values, (2, 7, 4)),
    of_samples("bce vr", cl.BCEWithLogitsLossVR, with_values, (2, 7, 4)),
    of_samples("cross-entropy vr", cl.CrossEntropyLossVR, with_classes, (2, 7)),
]

inputs = torch.zeros(4, 3)
targets = {"mse vr": torch.zeros(4, 2), "bce vr": torch.zeros(4, 2)}
classes = torch.zeros(4, dtype=torch.int64)
one_output = cl.BayesianLinear(3, 1)

REFUSED = [
    *(
        row
        for name, loss in LOSSES.items()
        for target in [targets.get(name, classes)]
        for row in [
            Refused(
                f"{name}: linear layer",
                lambda loss=loss, target=target: loss()(inputs, nn.Linear(3, 2), target),
                TypeError,
                "output_layer must be a BayesianLinear, got Linear",
            ),
            Refused(
                f"{name}: wrong features",
                lambda loss=loss, target=target: loss()(torch.zeros(4, 5), small, target),
                ValueError,
                r"representation must have shape \(\*sample, N, 3\), .*, got \(4, 5\)",
            ),
            Refused(
                f"{name}: one example without batch",
                lambda loss=loss, target=target: loss()(inputs[0], small, target),
                ValueError,
                r"representation must have shape \(\*sample, N, 3\), .*, got \(3,\)",
            ),
            Refused(
                f"{name}: fewer targets",
                lambda loss=loss, target=target: loss()(inputs, small, target[:3]),
                ValueError,
                r"target must have shape \(4.*, got \(3",
            ),
            Refused(
                f"{name}: integer representation",
                lambda loss=loss, target=target: loss()(inputs.long(), small, target),
                TypeError,
                "representation must be floating point",
            ),
        ]
    ),
    *(
        Refused(
            f"{name}: (N,) beside one output",
            lambda loss=loss: loss()(inputs, one_output, torch.zeros(4)),
            ValueError,
            r"target must have shape \(4, 1\), .*, got \(4,\): nothing is broadcast",
        )
        for name, loss in LOSSES.items()
        if name in targets
    ),
    *(
        Refused(
            f"{name}: (N, 1) beside two outputs",
            lambda loss=loss: loss()(inputs, small, torch.zeros(4, 1)),
            ValueError,
            r"target must have shape \(4, 2\), .*, got \(4, 1\)",
        )
        for name, loss in LOSSES.items()
        if name in targets
    ),
    *(
        Refused(
            f"{name}: integer target",
            lambda loss=loss: loss()(inputs, small, classes[:, None].expand(4, 2)),
            TypeError,
            "target must be floating point",
        )
        for name, loss in LOSSES.items()
        if name in targets
    ),
    Refused(
        "bce vr: target 2",
        lambda: cl.BCEWithLogitsLossVR()(inputs, small, torch.full((4, 2), 2.0)),
        ValueError,
        r"target must be in \[0, 1\], got values from 2 to 2",
    ),
    Refused(
        "cross-entropy vr: (N, 1)",
        lambda: cl.CrossEntropyLossVR()(inputs, small, classes[:, None]),
        ValueError,
        r"target must have shape \(4,\), one class for each example, got \(4, 1\)",
    ),
    Refused(
        "cross-entropy vr: class 2 of 2",
        lambda: cl.CrossEntropyLossVR()(inputs, small, classes + 2),
        ValueError,
        r"target must be in \[0, 1\], got class 2",
    ),
    Refused(
        "cross-entropy vr: float target",
        lambda: cl.CrossEntropyLossVR()(inputs, small, torch.zeros(4)),
        TypeError,
        "target must hold integer class indices",
    ),
]
