"""The cards of the evidential losses."""

import math
from typing import Any

import torch
from torch import Generator, Tensor

from course_losses import evidential as losses
from course_losses.catalogue.card import LossCard, Problem, skewed, slope


def evidence(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    exponent = scale * torch.randn(24, 4, generator=generator, dtype=torch.float64)
    exponent = exponent * torch.randint(2, (24, 4), generator=generator)
    return exponent.clamp(0, 120).expm1(), torch.randint(4, (24,), generator=generator)


def normal_inverse_gamma(generator: Generator, scale: float) -> tuple[Tensor, ...]:
    def normal() -> Tensor:
        return torch.randn(24, generator=generator, dtype=torch.float64)

    target = normal()
    error = scale * normal() * torch.randint(2, (24,), generator=generator)
    sizes = [(min(scale, 100.0) * normal()).clamp(-200, 200).exp() for _ in range(3)]
    return target + error, *sizes, target


def with_params(
    loss: Any, gamma: Tensor, nu: Tensor, alpha: Tensor, beta: Tensor, y: Tensor
) -> Any:
    return loss({"gamma": gamma, "nu": nu, "alpha": alpha, "beta": beta}, y)


def in_the_ratio_of(total: float) -> Any:
    """A class is drawn from known probabilities; evidence + 1 in their ratio is best."""

    def problem(loss: Any, generator: Generator) -> Problem:
        p = torch.randn(4, generator=generator, dtype=torch.float64).softmax(0)

        def risk(e: Tensor) -> Any:
            return sum(p[k] * loss(e, torch.tensor([k])) for k in range(4))

        best = (p / p.min() * total - 1)[None]
        others = 9 * torch.rand(60, 1, 4, generator=generator)
        return Problem(risk, best, others, lambda e: e.clamp(min=0))

    return problem


def none_for_the_wrong(loss: Any, generator: Generator) -> Problem:
    best = torch.tensor([[0.0, 5.0, 0.0, 0.0]], dtype=torch.float64)
    others = 5 * torch.rand(60, 1, 4, generator=generator)
    target = torch.tensor([1])
    return Problem(lambda e: loss(e, target), best, others, lambda e: e.clamp(min=0))


def scale_of_a_t(loss: Any, generator: Generator) -> Problem:
    """The location and beta of a Student t with 6 degrees of freedom for one target and its mirror.

    With nu = 1 and alpha = 3, and targets at ±1, the slope in beta is 0 where
    3 / beta = 3.5 * 4 / (1 + 4 beta), at beta = 1.5.
    """
    y = torch.tensor([1.0, -1.0], dtype=torch.float64)

    def risk(free: Tensor) -> Any:
        gamma, beta = free[0].expand_as(y), free[1].expand_as(y)
        one = torch.ones_like(y)
        return with_params(loss, gamma, one, 3 * one, beta, y)

    others = torch.cartesian_prod(torch.linspace(-2, 2, 9), torch.linspace(0.2, 6, 9)).double()
    return Problem(risk, torch.tensor([0.0, 1.5], dtype=torch.float64), others)


def the_target_at_any_evidence(loss: Any, generator: Generator) -> Problem:
    y = skewed(generator, 5)
    others = y + torch.randn(60, 5, generator=generator)
    ones = torch.ones_like(y)
    return Problem(lambda gamma: with_params(loss, gamma, ones, ones, ones, y), y, others)


# ---------------------------------------------------------------- known failures


def amount_is_free() -> bool:
    """Evidence (1, 0) and (1999, 999) cost the same: only the ratio counts, of evidence + 1."""
    e, target = torch.tensor([[1.0, 0.0], [1999.0, 999.0]]).double(), torch.tensor([0, 0])
    few, many = losses.EvidentialLogLoss(reduction="none")(e, target).tolist()
    return math.isclose(few, many)


def confident_about_noise() -> bool:
    """On a fair coin it is least for unlimited evidence: pure noise ends in full confidence."""
    both = torch.tensor([0, 1])
    values = [losses.EvidentialCELoss()(torch.full((2, 2), e).double(), both) for e in (0, 9, 999)]
    return bool(values[0] > values[1] > values[2])


def gradient_fades_with_evidence() -> bool:
    """A mistake with evidence 1000 has less than 1/100 of the gradient of one with evidence 1."""
    e = torch.tensor([[1.0, 0.0], [1000.0, 0.0]]).double()
    weak, strong = slope(losses.EvidentialMSELoss(reduction="sum"), e, torch.tensor([1, 1]))[:, 1]
    return bool(strong.abs() < weak.abs() / 100)


def sees_training_pairs_only() -> bool:
    """Being rightly sure costs nothing at any evidence: nothing keeps it low elsewhere."""
    e = torch.tensor([[1e6, 0.0, 0.0]]).double()
    target = torch.tensor([0])
    loss = losses.EvidentialKLDivergence()
    return bool(loss(e, target) == 0) and not slope(loss, e, target).any()


def cannot_tell_nu_from_beta() -> bool:
    """nu=1, beta=1 and nu=3, beta=1.5 give the same loss for every target: evidence is a guess."""
    y = torch.linspace(-3, 3, 7).double()
    zero, one = torch.zeros_like(y), torch.ones_like(y)
    loss = losses.EvidentialNIGNLLLoss(reduction="none")
    first, second = (
        with_params(loss, zero, nu * one, 2 * one, beta * one, y) for nu, beta in ((1, 1), (3, 1.5))
    )
    return bool((first - second).abs().max() < 1e-12)


def free_where_it_fits() -> bool:
    """Where the prediction is exact, a million units of evidence cost nothing."""
    one = torch.ones(1).double()
    loss = losses.EvidentialRegressionRegularization()
    return bool(with_params(loss, one, 1e6 * one, 1e6 * one, one, one) == 0)


EVIDENCE = "evidence, at least 0"

CARDS = [
    LossCard(
        loss=losses.EvidentialLogLoss,
        formula=r"\log S - \log \alpha_y, \quad \alpha = e + 1",
        domain=EVIDENCE,
        range=("0", "inf"),
        minimiser="evidence + 1 in the ratio of the classes' probabilities, of any size",
        convex=False,
        gradient_bound="1",
        activation="softplus",
        torch="F.nll_loss(F.normalize(evidence + 1, p=1, dim=1).log(), target)",
        use="a Dirichlet as the output, fitted by maximum likelihood",
        avoid="reading the amount of evidence without a regulariser",
        failure=amount_is_free,
        inputs=evidence,
        problem=in_the_ratio_of(1.0),
    ),
    LossCard(
        loss=losses.EvidentialCELoss,
        formula=r"\psi(S) - \psi(\alpha_y)",
        domain=EVIDENCE,
        range=("0", "inf"),
        minimiser="unlimited evidence in the ratio of the classes' probabilities",
        convex=False,
        gradient_bound="pi ** 2 / 6",
        activation="softplus",
        torch=None,
        use="evidential classification, together with EvidentialKLDivergence",
        avoid="taking its evidence for what the network does not know",
        failure=confident_about_noise,
        inputs=evidence,
        problem=in_the_ratio_of(1e9),
    ),
    LossCard(
        loss=losses.EvidentialMSELoss,
        formula=r"\sum_k ([k = y] - \bar p_k)^2 + \frac{\bar p_k (1 - \bar p_k)}{S + 1}",
        domain=EVIDENCE,
        range=("0", "2"),
        minimiser="unlimited evidence in the ratio of the classes' probabilities",
        convex=False,
        gradient_bound="1 / 2",
        activation="softplus",
        torch=None,
        use="evidential classification with a bounded price for a mistake",
        avoid="many classes: its gradient is small from the start",
        failure=gradient_fades_with_evidence,
        inputs=evidence,
        problem=in_the_ratio_of(1e9),
    ),
    LossCard(
        loss=losses.EvidentialKLDivergence,
        formula=r"\mathrm{KL}(\mathrm{Dir}(\tilde\alpha) \,\|\, \mathrm{Dir}(1))",
        domain=EVIDENCE,
        range=("0", "inf"),
        minimiser="no evidence for a wrong class; that for the true one is free",
        convex=False,
        gradient_bound="1",
        activation="softplus",
        torch=None,
        use="beside an evidential loss, with a weight that grows over the first epochs",
        avoid="expecting it to act on data that it never sees",
        failure=sees_training_pairs_only,
        inputs=evidence,
        problem=none_for_the_wrong,
    ),
    LossCard(
        loss=losses.EvidentialNIGNLLLoss,
        formula=r"-\log \mathrm{St}_{2\alpha}\bigl(y; \gamma, \beta(1 + \nu) / (\nu\alpha)\bigr)",
        domain="gamma: any real number; nu, alpha, beta: positive",
        range=("-inf", "inf"),
        minimiser="the location and scale of a Student t; nu and beta only together",
        convex=False,
        gradient_bound="inf",
        activation="none, softplus, softplus, softplus",
        torch=None,
        use="regression with noise and doubt from one pass",
        avoid="reading nu as evidence: it is not identified",
        failure=cannot_tell_nu_from_beta,
        inputs=normal_inverse_gamma,
        problem=scale_of_a_t,
        predictions=4,
        call=with_params,
    ),
    LossCard(
        loss=losses.EvidentialRegressionRegularization,
        formula=r"|y - \gamma| (2\nu + \alpha)",
        domain="gamma: any real number; nu, alpha, beta: positive",
        range=("0", "inf"),
        minimiser="the target, at any evidence",
        convex=False,
        gradient_bound="inf",
        activation="none, softplus, softplus, softplus",
        torch=None,
        use="beside EvidentialNIGNLLLoss, with a small weight",
        avoid="targets in other units without a new weight",
        failure=free_where_it_fits,
        inputs=normal_inverse_gamma,
        problem=the_target_at_any_evidence,
        predictions=4,
        call=with_params,
    ),
]
