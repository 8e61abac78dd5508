"""The cards of the losses for networks whose weights are distributions."""

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn

from course_losses import variance_reduced
from course_losses.bayesian import (
    BayesianLinear,
    ELBOLoss,
    ExpectedLoss,
    VariationalFreeEnergy,
)
from course_losses.catalogue.card import LossCard, Problem, skewed


def logits_and_kl(generator: Generator, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    logits = scale * torch.randn(24, 4, generator=generator, dtype=torch.float64)
    kl = torch.rand((), generator=generator, dtype=torch.float64)
    return logits, torch.randint(4, (24,), generator=generator), kl


def sampled_predictions(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    target = torch.randn(6, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(5, 6, 1, generator=generator, dtype=torch.float64)
    return target + scale * noise, target


def last_layer(outputs: int) -> BayesianLinear:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = BayesianLinear(3, outputs, bias=False).double()
    with torch.no_grad():
        layer.weight_mean.mul_(10)
    return layer


def representations(
    generator: Generator, scale: float, outputs: int
) -> tuple[Tensor, BayesianLinear]:
    noise = torch.randn(2, 8, 3, generator=generator, dtype=torch.float64)
    return 3 * max(scale, scale**2 / 10) * noise, last_layer(outputs)


def with_values(generator: Generator, scale: float) -> tuple[Any, ...]:
    h, layer = representations(generator, scale, 1)
    noise = torch.randn(8, 1, generator=generator, dtype=torch.float64)
    return h, layer, scale * noise


def with_answers(generator: Generator, scale: float) -> tuple[Any, ...]:
    h, layer = representations(generator, scale, 1)
    return h, layer, torch.randint(2, (8, 1), generator=generator).double()


def with_classes(generator: Generator, scale: float) -> tuple[Any, ...]:
    h, layer = representations(generator, scale, 4)
    return h, layer, torch.randint(4, (8,), generator=generator)


def one_draw(loss: Any, generator: Generator) -> Problem:
    p = torch.randn(4, generator=generator, dtype=torch.float64).softmax(0)
    kl = torch.ones((), dtype=torch.float64)

    def risk(logits: Tensor) -> Any:
        return sum(p[k] * loss(logits, torch.tensor([k]), kl) for k in range(4))

    return Problem(risk, p.log()[None], 2 * torch.randn(60, 1, 4, generator=generator))


def mean_for_every_sample(loss: Any, generator: Generator) -> Problem:
    y = skewed(generator, 7)[:, None]
    others = torch.randn(60, 3, 1, 1, generator=generator)
    return Problem(lambda c: loss(c.expand(3, 7, 1), y), y.mean().expand(3, 1, 1).clone(), others)


def stationary(loss: Any, generator: Generator, inputs: Any) -> Problem:
    """The representation where the slope is 0: the loss is convex in it."""
    _, layer, target = inputs(generator, 1.0)
    target = target[:1]
    best = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([best], max_iter=200, tolerance_grad=1e-12, tolerance_change=0)

    def step() -> float:
        search.zero_grad()
        value = loss(best, layer, target)
        value.backward()
        return float(value.detach())

    search.step(step)  # type: ignore[no-untyped-call]
    others = 5 * torch.randn(60, 1, 3, generator=generator)
    return Problem(lambda h: loss(h, layer, target), best.detach(), others)


# ---------------------------------------------------------------- known failures


def weight_of_the_batches() -> bool:
    """With kl_penalty = 1/20 for 20 batches of 50, an epoch counts the KL 50 times, not once."""
    logits, target, kl = torch.zeros(50, 2), torch.zeros(50).long(), torch.tensor(3.0)
    batch = ELBOLoss(1 / 20)(logits, target, kl) - ELBOLoss(0)(logits, target, kl)
    epoch = 50 * 20 * float(batch)  # a mean over 50, in each of 20 batches
    return math.isclose(epoch, 50 * 3.0, rel_tol=1e-5)


def mean_of_losses_is_no_loss_of_means() -> bool:
    """Two samples at 0 and 2 for a target of 1 cost 1, although their mean costs nothing."""
    pred, target = torch.tensor([[0.0], [2.0]]), torch.ones(1)
    return bool(ExpectedLoss(nn.MSELoss())(pred, target) == 1)


def counts_outputs_as_examples() -> bool:
    """If the nll averages over 10 outputs too, the KL weighs 10 times too much beside it."""
    pred, target, model = torch.zeros(1, 4, 10), torch.ones(4, 10), BayesianLinear(2, 1)
    nll = nn.MSELoss()
    mean = VariationalFreeEnergy(nll, model, num_data=100)(pred, target).detach() - 1
    summed = VariationalFreeEnergy(nll, model, num_data=100, reduction="sum")
    per_value = (summed(pred, target).detach() - 40) / 40
    return bool((mean / per_value - 10).abs() < 0.01)


def needs_a_linear_last_layer() -> bool:
    """It takes a BayesianLinear only: anything after that layer is beyond its closed form."""
    loss, h = variance_reduced.MSELossVR(), torch.zeros(1, 2)
    layer: Any = nn.Sequential(BayesianLinear(2, 1), nn.Tanh())
    try:
        loss(h, layer, torch.zeros(1, 1))
    except TypeError:
        return True
    return False


def loose_when_unsure() -> bool:
    """At a variance of 100 it asks 50 for a logit of 0, where sampling finds 4."""
    h, layer = torch.ones(1, 1).double(), BayesianLinear(1, 1, bias=False, posterior_std=10)
    nn.init.zeros_(layer.weight_mean)
    bound = variance_reduced.BCEWithLogitsLossVR()(h, layer.double(), torch.ones(1, 1).double())
    z = 10 * torch.randn(10_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return bool(
        (bound - 50).abs() < 0.01 and (torch.nn.functional.softplus(-z).mean() - 4).abs() < 0.2
    )


def never_below_half_the_variance() -> bool:
    """However sure the answer, it costs at least half the variance of the right class's logit."""
    layer = BayesianLinear(1, 2, bias=False, posterior_std=2.0).double()
    layer.weight_mean.data = torch.tensor([[30.0], [-30.0]]).double()
    h, target = torch.ones(1, 1).double(), torch.tensor([0])
    value = variance_reduced.CrossEntropyLossVR()(h, layer, target).detach()
    return bool((value - 2).abs() < 1e-5)


def free_energy() -> dict[str, Any]:
    return {"nll": nn.MSELoss(), "model": BayesianLinear(2, 1), "num_data": 10_000}


CARDS = [
    LossCard(
        loss=ELBOLoss,
        formula=r"-\log \operatorname{softmax}(z)_y + \lambda \, \mathrm{KL}(q \,\|\, p)",
        domain="any real numbers (logits)",
        range=("0", "inf"),
        minimiser="the log-probabilities of the classes, as far as the prior lets the weights go",
        convex=True,
        gradient_bound="1",
        activation="none",
        torch="F.cross_entropy(logits, target) + kl_penalty * kl",
        use="Bayesian classifiers, with kl_penalty = 1 / number of training examples",
        avoid="any other weight, unless you know why",
        failure=weight_of_the_batches,
        inputs=logits_and_kl,
        problem=one_draw,
        examples=({"kl_penalty": 1e-3},),
    ),
    LossCard(
        loss=ExpectedLoss,
        formula=r"\tfrac1S \sum_s \text{base}(\hat y_s, y)",
        domain="that of its base, with sample dimensions in front",
        range=("0", "inf"),
        minimiser="for every sample what is best for the base: here the mean",
        convex=True,
        gradient_bound="inf",
        activation="none",
        torch="F.mse_loss(pred, target.expand_as(pred))",
        use="several predictions of one network for each target",
        avoid="judging an ensemble by it: the mean prediction is better",
        failure=mean_of_losses_is_no_loss_of_means,
        inputs=sampled_predictions,
        problem=mean_for_every_sample,
        examples=({"base": nn.MSELoss()},),
    ),
    LossCard(
        loss=VariationalFreeEnergy,
        formula=r"\overline{-\log p(y \mid w_s)} + \lambda\, \mathrm{KL}(q \,\|\, p) / N",
        domain="that of its nll, with or without sample dimensions in front",
        range=("0", "inf"),
        minimiser="in the predictions, what is best for the nll: here the mean",
        convex=True,
        gradient_bound="inf",
        activation="none",
        torch=None,
        use="fitting a distribution over weights with any likelihood",
        avoid="an nll that averages over the outputs of one example",
        failure=counts_outputs_as_examples,
        inputs=sampled_predictions,
        problem=mean_for_every_sample,
        examples=(free_energy,),
    ),
    LossCard(
        loss=variance_reduced.MSELossVR,
        formula=r"(m - y)^2 + v",
        domain="what the last layer takes in",
        range=("0", "inf"),
        minimiser="the representation where a closer mean would cost as much variance",
        convex=True,
        gradient_bound="inf",
        activation="none",
        torch=None,
        use="regression with a Bayesian last layer: exact, with less noise than sampling",
        avoid="last layers that are not linear",
        failure=needs_a_linear_last_layer,
        inputs=with_values,
        problem=lambda loss, generator: stationary(loss, generator, with_values),
    ),
    LossCard(
        loss=variance_reduced.BCEWithLogitsLossVR,
        formula=r"y \log(1 + e^{v/2 - m}) + (1 - y) \log(1 + e^{v/2 + m})",
        domain="what the last layer takes in",
        range=("0", "inf"),
        minimiser="a mean logit of the right sign, as large as its variance allows",
        convex=True,
        gradient_bound="inf",
        activation="none",
        torch=None,
        use="yes-or-no questions with a Bayesian last layer of small variance",
        avoid="logits with a standard deviation above 2: the bound is loose",
        failure=loose_when_unsure,
        inputs=with_answers,
        problem=lambda loss, generator: stationary(loss, generator, with_answers),
    ),
    LossCard(
        loss=variance_reduced.CrossEntropyLossVR,
        formula=r"-m_y + \log \sum_c e^{m_c + v_c / 2}",
        domain="what the last layer takes in",
        range=("0", "inf"),
        minimiser="mean logits that favour the right class, as far as their variances allow",
        convex=True,
        gradient_bound="inf",
        activation="none",
        torch=None,
        use="classes with a Bayesian last layer of small variance",
        avoid="comparing its value with cross-entropy's: it is a bound",
        failure=never_below_half_the_variance,
        inputs=with_classes,
        problem=lambda loss, generator: stationary(loss, generator, with_classes),
    ),
]
