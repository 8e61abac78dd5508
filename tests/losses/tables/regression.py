"""Regression: element-wise losses of (pred, target), and the Gaussian's of three tensors."""

from functools import partial

import torch
from losses.case import Case, Refused

import course_losses as cl

ELEMENTWISE = {
    "mse": cl.MSELoss,
    "l1": cl.L1Loss,
    "huber": cl.HuberLoss,
    "huber 0.3": partial(cl.HuberLoss, delta=0.3),
    "smooth l1": cl.SmoothL1Loss,
    "smooth l1 0.3": partial(cl.SmoothL1Loss, beta=0.3),
    "log-cosh": cl.LogCoshLoss,
    "asymmetric mse": cl.AsymmetricMSELoss,
    "asymmetric mse 0.5": partial(cl.AsymmetricMSELoss, over_penalty=0.5),
    "quantile": cl.QuantileLoss,
    "quantile 0.9": partial(cl.QuantileLoss, quantile=0.9),
}


def errors_away_from_kinks(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    sizes = torch.tensor([0.05, 0.2, 0.6, 0.9, 1.4, 2.5, 7.0], dtype=torch.float64)
    errors = sizes[:, None] * torch.tensor([1.0, -1.0, 1.1], dtype=torch.float64)
    target = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    return target + errors, target


def normals(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    mean, log_variance, target = torch.randn(3, 7, 3, generator=generator, dtype=torch.float64)
    return mean, log_variance.exp(), target


CASES = [
    *(Case(name, loss, errors_away_from_kinks, (7, 3)) for name, loss in ELEMENTWISE.items()),
    Case("gaussian nll", cl.GaussianNLLLoss, normals, (7, 3)),
    Case("gaussian nll full", partial(cl.GaussianNLLLoss, full=True), normals, (7, 3)),
]

four, column = torch.zeros(4), torch.zeros(4, 1)
whole = torch.zeros(4, dtype=torch.int64)
positive = r"must be in \(0, inf\), got"

REFUSED = [
    *(
        row
        for name, loss in ELEMENTWISE.items()
        for row in [
            Refused(
                f"{name}: (4,) against (4, 1)",
                lambda loss=loss: loss()(four, column),
                ValueError,
                r"pred and target must have the same shape, got pred \(4,\), target \(4, 1\)",
            ),
            Refused(
                f"{name}: integer target",
                lambda loss=loss: loss()(four, whole),
                TypeError,
                r"target must be floating point, got torch.int64: convert it with target.float",
            ),
            Refused(
                f"{name}: list",
                lambda loss=loss: loss()([0.0], four),
                TypeError,
                "pred must be a torch.Tensor, got list",
            ),
        ]
    ),
    Refused("huber delta 0", lambda: cl.HuberLoss(delta=0), ValueError, f"delta {positive} 0"),
    Refused(
        "huber delta inf", lambda: cl.HuberLoss(delta=float("inf")), ValueError, "delta .* got inf"
    ),
    Refused(
        "huber delta nan", lambda: cl.HuberLoss(delta=float("nan")), ValueError, "delta .* got nan"
    ),
    Refused("huber delta text", lambda: cl.HuberLoss(delta="1"), TypeError, "delta .* got '1'"),
    Refused("huber delta bool", lambda: cl.HuberLoss(delta=True), TypeError, "delta .* got True"),
    Refused("smooth l1 beta", lambda: cl.SmoothL1Loss(beta=-1), ValueError, f"beta {positive} -1"),
    Refused(
        "asymmetric weight",
        lambda: cl.AsymmetricMSELoss(over_penalty=0),
        ValueError,
        f"over_penalty {positive} 0",
    ),
    Refused("quantile 1", lambda: cl.QuantileLoss(quantile=1), ValueError, r"in \(0, 1\), got 1"),
    Refused("quantile 0", lambda: cl.QuantileLoss(quantile=0), ValueError, r"in \(0, 1\), got 0"),
    Refused(
        "reduction in the place of full",
        lambda: cl.GaussianNLLLoss("sum"),
        TypeError,
        "full must be True or False, got 'sum'",
    ),
    Refused(
        "variance 0",
        lambda: cl.GaussianNLLLoss()(four, four, four),
        ValueError,
        "variance must be positive, got 0",
    ),
    Refused(
        "variance shape",
        lambda: cl.GaussianNLLLoss()(four, torch.ones(4, 1), four),
        ValueError,
        r"variance \(4, 1\)",
    ),
    Refused(
        "integer mean",
        lambda: cl.GaussianNLLLoss()(whole, four, four),
        TypeError,
        "mean must be floating point",
    ),
    Refused(
        "integer variance",
        lambda: cl.GaussianNLLLoss()(four, whole, four),
        TypeError,
        "variance must be floating point",
    ),
]
