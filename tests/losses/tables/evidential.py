"""Evidential: evidence for classes, and the four parameters of a normal-inverse-gamma."""

import torch
from losses.case import Case, Refused

import course_losses as cl

CLASSIFICATION = {
    "evidential log": cl.EvidentialLogLoss,
    "evidential ce": cl.EvidentialCELoss,
    "evidential mse": cl.EvidentialMSELoss,
    "evidential kl": cl.EvidentialKLDivergence,
}
REGRESSION = {
    "evidential nig nll": cl.EvidentialNIGNLLLoss,
    "evidential regularization": cl.EvidentialRegressionRegularization,
}


def evidence_and_classes(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    evidence = torch.empty(7, 4, dtype=torch.float64).exponential_(0.3, generator=generator)
    return evidence + 0.1, torch.randint(0, 4, (7,), generator=generator)


def evidence_maps(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    evidence = torch.empty(3, 4, 2, dtype=torch.float64).exponential_(0.3, generator=generator)
    return evidence + 0.1, torch.randint(0, 4, (3, 2), generator=generator)


def parameters(generator: torch.Generator) -> tuple[object, ...]:
    gamma, target = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    nu, alpha, beta = torch.rand(3, 7, 3, generator=generator, dtype=torch.float64) + 0.2
    return {"gamma": gamma, "nu": nu, "alpha": alpha + 1, "beta": beta}, target


CASES = [
    *(Case(name, loss, evidence_and_classes, (7,)) for name, loss in CLASSIFICATION.items()),
    *(Case(f"{name} maps", loss, evidence_maps, (3, 2)) for name, loss in CLASSIFICATION.items()),
    *(Case(name, loss, parameters, (7, 3)) for name, loss in REGRESSION.items()),
]

some, classes = torch.ones(4, 3), torch.zeros(4, dtype=torch.int64)
ones = torch.ones(4)


def nig(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    params = {"gamma": ones, "nu": ones, "alpha": ones, "beta": ones, **changes}
    return {name: value for name, value in params.items() if value is not None}


REFUSED = [
    *(
        row
        for name, loss in CLASSIFICATION.items()
        for row in [
            Refused(
                f"{name}: target (4, 1)",
                lambda loss=loss: loss()(some, classes[:, None]),
                ValueError,
                r"target must have shape \(4,\) beside evidence of shape \(4, 3\), got \(4, 1\)",
            ),
            Refused(
                f"{name}: negative evidence",
                lambda loss=loss: loss()(some - 1.5, classes),
                ValueError,
                "evidence must be at least 0, got -0.5: .* softplus",
            ),
            Refused(
                f"{name}: nan",
                lambda loss=loss: loss()(some * float("nan"), classes),
                ValueError,
                "evidence must be at least 0, got nan",
            ),
            Refused(
                f"{name}: float target",
                lambda loss=loss: loss()(some, ones),
                TypeError,
                "target must hold integer class indices, got torch.float32",
            ),
            Refused(
                f"{name}: no such class",
                lambda loss=loss: loss()(some, classes + 3),
                ValueError,
                r"target must be in \[0, 2\], got class 3",
            ),
            Refused(
                f"{name}: one dimension",
                lambda loss=loss: loss()(ones, classes),
                ValueError,
                r"evidence must have shape \(N, C, ...\), got \(4,\)",
            ),
            Refused(
                f"{name}: integer evidence",
                lambda loss=loss: loss()(some.long(), classes),
                TypeError,
                "evidence must be floating point",
            ),
        ]
    ),
    *(
        row
        for name, loss in REGRESSION.items()
        for row in [
            Refused(
                f"{name}: target (4, 1)",
                lambda loss=loss: loss()(nig(), ones[:, None]),
                ValueError,
                r"beta \(4,\), target \(4, 1\)",
            ),
            Refused(
                f"{name}: missing nu",
                lambda loss=loss: loss()(nig(nu=None), ones),
                ValueError,
                "params must have gamma, nu, alpha, beta: nu is missing",
            ),
            Refused(
                f"{name}: tuple",
                lambda loss=loss: loss()((ones, ones, ones, ones), ones),
                TypeError,
                "params must be a mapping with gamma, nu, alpha, beta, got tuple",
            ),
            *(
                Refused(
                    f"{name}: {parameter} 0",
                    lambda loss=loss, parameter=parameter: loss()(
                        nig(**{parameter: 0 * ones}), ones
                    ),
                    ValueError,
                    f"{parameter} must be positive, got 0",
                )
                for parameter in ("nu", "alpha", "beta")
            ),
        ]
    ),
    Refused(
        "one class", lambda: cl.DirichletHead(8, 1), ValueError, "num_classes must be at least 2"
    ),
    Refused(
        "no features", lambda: cl.DirichletHead(0, 3), ValueError, "in_features must be at least 1"
    ),
    Refused(
        "no outputs",
        lambda: cl.NormalInverseGammaHead(8, 0),
        ValueError,
        "out_features must be at least 1",
    ),
    Refused(
        "fractional features",
        lambda: cl.NormalInverseGammaHead(2.5),
        TypeError,
        "in_features must be an integer, got 2.5",
    ),
]
