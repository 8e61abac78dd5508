"""The cards of the losses for classes, of their calibration among them."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from course_losses import calibration
from course_losses import classification as losses
from course_losses.catalogue.card import LossCard, Problem, root, slope


def yes_or_no(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    logits = scale * torch.randn(24, generator=generator, dtype=torch.float64)
    return logits, torch.randint(2, (24,), generator=generator).double()


def yes_or_no_probs(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    logits, target = yes_or_no(generator, scale)
    return logits.sigmoid(), target


def logits_of_classes(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    logits = scale * torch.randn(24, 4, generator=generator, dtype=torch.float64)
    return logits, torch.randint(4, (24,), generator=generator)


def log_probs_of_classes(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    logits, target = logits_of_classes(generator, scale)
    return logits.log_softmax(1), target


def probs_of_classes(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    logits, target = logits_of_classes(generator, scale)
    return logits.softmax(1), target


def one_question(
    best: Callable[[Any, float], float], probs: bool = False
) -> Callable[[Any, Generator], Problem]:
    """The problem of one prediction for a question whose answer is yes with some probability."""

    def problem(loss: Any, generator: Generator) -> Problem:
        p = 0.1 + 0.8 * torch.rand((), generator=generator, dtype=torch.float64).item()
        one = torch.ones(1, dtype=torch.float64)

        def risk(prediction: Tensor) -> Any:
            return p * loss(prediction, one) + (1 - p) * loss(prediction, 0 * one)

        others = torch.linspace(-6, 6, 49)[:, None]
        solution = torch.tensor([best(loss, p)], dtype=torch.float64)
        return Problem(risk, solution, others.sigmoid() if probs else others)

    return problem


def one_draw(
    best: Callable[[Any, Tensor], Tensor],
    shaped: Callable[[Tensor], Tensor] = lambda logits: logits,
) -> Callable[[Any, Generator], Problem]:
    """The problem of one prediction for a class that is drawn from a known distribution."""

    def problem(loss: Any, generator: Generator) -> Problem:
        p = torch.randn(4, generator=generator, dtype=torch.float64).softmax(0)

        def risk(prediction: Tensor) -> Any:
            rows = prediction.expand(4, 4)
            return sum(p[k] * loss(rows[k : k + 1], torch.tensor([k])) for k in range(4))

        others = 2 * torch.randn(60, 1, 4, generator=generator, dtype=torch.float64)
        solution = best(loss, p)[None]
        return Problem(risk, solution, torch.stack([shaped(z) for z in others]), shaped)

    return problem


def as_distribution(numbers: Tensor) -> Tensor:
    size = numbers.abs()
    return size / size.sum(1, keepdim=True)


def focal_pull(q: float, gamma: float) -> float:
    """Minus the slope of the focal loss in the true class's probability."""
    return (1 - q) ** gamma / q - gamma * (1 - q) ** (gamma - 1) * math.log(q) if gamma else 1 / q


def flattened(loss: Any, p: Tensor) -> Tensor:
    """Log-probabilities at which the focal losses' pulls on all classes are equal."""

    def answer(price: float, share: float) -> float:
        return root(lambda q: share * focal_pull(q, loss.gamma) - price, 1e-12, 1 - 1e-12)

    price = root(lambda c: sum(answer(c, share) for share in p.tolist()) - 1, 1e-9, 1e3)
    return torch.tensor([answer(price, share) for share in p.tolist()]).double().log()


def flattened_logit(loss: Any, p: float) -> float:
    """The logit at which the two focal losses, weighted, pull equally hard."""
    alpha = 0.5 if loss.alpha is None else loss.alpha

    def pull(z: float) -> float:
        q = 1 / (1 + math.exp(-z))
        yes, no = focal_pull(q, loss.gamma), focal_pull(1 - q, loss.gamma)
        return p * alpha * yes - (1 - p) * (1 - alpha) * no

    return root(pull, -12, 12)


def smoothed(loss: Any, p: Tensor) -> Tensor:
    target: Tensor = (1 - loss.epsilon) * p + loss.epsilon / len(p)
    return target.log()


def weighted_logit(loss: Any, p: float) -> float:
    weight = 1.0 if loss.pos_weight is None else float(loss.pos_weight)
    return math.log(weight * p / (1 - p))


def inside_the_set(loss: Any, generator: Generator) -> Problem:
    """One certain class: every distribution that gives it enough costs nothing."""
    target = torch.tensor([2])
    best = torch.tensor([[0.0, 0.0, 0.0, 8.0]], dtype=torch.float64).roll(-1, 1)
    others = torch.randn(60, 1, 4, generator=generator, dtype=torch.float64)
    return Problem(lambda logits: loss(logits, target), best, others)


# ---------------------------------------------------------------- known failures


def a_saturated_sigmoid_learns_nothing() -> bool:
    """From a logit of 17 on, a float32 sigmoid is 1: the wrong answer costs 100, gradient 0."""
    logits = torch.tensor([18.0], requires_grad=True)
    value = losses.BCELoss()(logits.sigmoid(), torch.zeros(1))
    (gradient,) = torch.autograd.grad(value, logits)
    return value.item() == 100 and gradient.item() == 0


def positives_weigh_and_shift() -> bool:
    """With pos_weight=9, a question that is right half of the time is answered with 0.9."""
    logits, target = torch.full((2,), math.log(9.0)), torch.tensor([0.0, 1.0])
    loss = losses.BCEWithLogitsLoss(pos_weight=9.0)
    return bool(slope(loss, logits, target).sum().abs() < 1e-6)


def all_certain_at_once() -> bool:
    """Log-probabilities that are all 0 cost nothing: that they should sum to 1 is not checked."""
    target = torch.tensor([0, 1, 2])
    return bool(losses.NLLLoss()(torch.zeros(3, 3), target) == 0)


def softmax_twice() -> bool:
    """Given probabilities instead of logits, a perfect answer among 3 classes still costs 0.55."""
    perfect = torch.tensor([[1.0, 0.0, 0.0]])
    value = float(losses.CrossEntropyLoss()(perfect, torch.tensor([0])))
    return abs(value - math.log(1 + 2 / math.e)) < 1e-6 and value > 0.55


def never_zero() -> bool:
    """At epsilon=0.1 and 10 classes no prediction costs less than 0.5: zero is not the goal."""
    best = torch.tensor([[0.91, *[0.01] * 9]], dtype=torch.float64).log()
    value = float(losses.LabelSmoothingCrossEntropy(epsilon=0.1)(best, torch.tensor([0])))
    return 0.49 < value < 0.51


def too_modest() -> bool:
    """At gamma=2, an event that happens 9 times in 10 is predicted with 0.69."""
    p = flattened(losses.FocalLoss(), torch.tensor([0.9, 0.1])).exp()
    return abs(p[0].item() - 0.69) < 0.01


def fits_no_frequency() -> bool:
    """At the defaults, an event that happens 1 time in 20 is predicted with 0.18."""
    z = flattened_logit(losses.BinaryFocalLoss(), 0.05)
    return abs(1 / (1 + math.exp(-z)) - 0.18) < 0.005


def silent_inside() -> bool:
    """Once the true class has 1 - alpha, nothing moves: 0.91 and 0.9999 are the same to it."""
    z = torch.tensor([[math.log(0.91 / 0.09), 0.0], [math.log(9999), 0.0]])
    return not slope(calibration.LabelRelaxationLoss(0.1), z, torch.zeros(2).long()).any()


def sure_mistakes_are_cheap() -> bool:
    """Through a softmax, a mistake at a logit gap of 20 has a gradient below 1e-8: it stays."""
    logits = torch.tensor([[20.0, 0.0]], dtype=torch.float64)

    def through(z: Tensor, target: Tensor) -> Tensor:
        value: Tensor = calibration.BrierLoss()(z.softmax(1), target)
        return value

    pred = logits.requires_grad_()
    (gradient,) = torch.autograd.grad(through(pred, torch.tensor([1])), pred)
    return bool(gradient.abs().max() < 1e-8)


WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 1.5], dtype=torch.float64)
REAL = "any real numbers (logits)"

CARDS = [
    LossCard(
        loss=losses.BCELoss,
        formula=r"-y \log p - (1 - y) \log(1 - p)",
        domain="probabilities in [0, 1]",
        range=("0", "100"),
        minimiser="the probability of a yes",
        convex=True,
        gradient_bound="1e12",
        activation="sigmoid",
        torch="F.binary_cross_entropy(probs, target)",
        use="probabilities that come from somewhere else than a sigmoid",
        avoid="a network's output: BCEWithLogitsLoss keeps its gradient",
        failure=a_saturated_sigmoid_learns_nothing,
        inputs=yes_or_no_probs,
        problem=one_question(lambda loss, p: p, probs=True),
    ),
    LossCard(
        loss=losses.BCEWithLogitsLoss,
        formula=r"-w y \log \sigma(z) - (1 - y) \log \sigma(-z)",
        domain=REAL,
        range=("0", "inf"),
        minimiser="the log-odds of a yes, plus log of pos_weight",
        convex=True,
        gradient_bound="max(pos_weight or 1, 1)",
        activation="none",
        torch="F.binary_cross_entropy_with_logits(logits, target, pos_weight=pos_weight)",
        use="yes-or-no questions, several at once included (multi-label)",
        avoid="classes that exclude each other",
        failure=positives_weigh_and_shift,
        inputs=yes_or_no,
        problem=one_question(weighted_logit),
        examples=({}, {"pos_weight": 5.0}),
    ),
    LossCard(
        loss=losses.NLLLoss,
        formula=r"-w_y \log p_y",
        domain="log-probabilities, at most 0",
        range=("0", "inf"),
        minimiser="the log-probabilities of the classes",
        convex=True,
        gradient_bound="1 if weight is None else weight.max()",
        activation="log_softmax",
        torch="F.nll_loss(log_probs, target, weight)",
        use="models that give normalised log-probabilities themselves",
        avoid="logits: they need CrossEntropyLoss",
        failure=all_certain_at_once,
        inputs=log_probs_of_classes,
        problem=one_draw(lambda loss, p: p.log(), lambda z: z.log_softmax(1)),
    ),
    LossCard(
        loss=losses.CrossEntropyLoss,
        formula=r"-w_y \log \operatorname{softmax}(z)_y",
        domain=REAL,
        range=("0", "inf"),
        minimiser="the log-probabilities of the classes, up to a constant",
        convex=True,
        gradient_bound="1 if weight is None else weight.max()",
        activation="none",
        torch="F.cross_entropy(logits, target, weight)",
        use="classes that exclude each other; its probabilities are calibrated at the optimum",
        avoid="independent labels, and a softmax before it",
        failure=softmax_twice,
        inputs=logits_of_classes,
        problem=one_draw(lambda loss, p: (p if loss.weight is None else p * loss.weight).log()),
        examples=({}, {"weight": WEIGHTS}),
    ),
    LossCard(
        loss=losses.LabelSmoothingCrossEntropy,
        formula=r"-\sum_k q_k \log p_k, \quad q_k = (1 - \varepsilon)[k = y] + \varepsilon / K",
        domain=REAL,
        range=(
            "-(1 - epsilon + epsilon / K) * log(1 - epsilon + epsilon / K)"
            " - (K - 1) * epsilon / K * log(epsilon / K)",
            "inf",
        ),
        minimiser="the logarithm of (1 - epsilon) times the classes' probabilities plus epsilon/K",
        convex=True,
        gradient_bound="1 - epsilon / K",
        activation="none",
        torch="F.cross_entropy(logits, target, label_smoothing=epsilon)",
        use="many classes with some wrong labels; when logits should stay small",
        avoid="reading its probabilities as they are, and teachers for distillation",
        failure=never_zero,
        inputs=logits_of_classes,
        problem=one_draw(smoothed),
        examples=({}, {"epsilon": 0.3}),
    ),
    LossCard(
        loss=losses.FocalLoss,
        formula=r"-w_y (1 - p_y)^\gamma \log p_y",
        domain=REAL,
        range=("0", "inf"),
        minimiser="where the pulls on all classes are equal: flatter than their probabilities",
        convex=False,
        gradient_bound="1 + gamma / e",
        activation="none",
        torch=None,
        use="very many easy examples that would drown the hard ones, as in dense detection",
        avoid="when the probabilities are to be used: move the threshold of a calibrated model",
        failure=too_modest,
        inputs=logits_of_classes,
        problem=one_draw(flattened),
        examples=({}, {"gamma": 0.5}),
    ),
    LossCard(
        loss=losses.BinaryFocalLoss,
        formula=r"-\alpha_t (1 - p_t)^\gamma \log p_t",
        domain=REAL,
        range=("0", "inf"),
        minimiser="the logit at which the two weighted pulls are equal",
        convex=False,
        gradient_bound="(1 if alpha is None else max(alpha, 1 - alpha)) * (1 + gamma / e)",
        activation="none",
        torch=None,
        use="detectors with thousands of background boxes to each object",
        avoid="when the probabilities are to be used, and reading alpha as a class frequency",
        failure=fits_no_frequency,
        inputs=yes_or_no,
        problem=one_question(flattened_logit),
        examples=({}, {"alpha": None, "gamma": 1.0}),
    ),
    LossCard(
        loss=calibration.LabelRelaxationLoss,
        formula=r"0 \text{ if } p_y \ge 1 - \alpha, \text{ else } (1 - \alpha)"
        r"\log\tfrac{1 - \alpha}{p_y} + \alpha \log\tfrac{\alpha}{1 - p_y}",
        domain=REAL,
        range=("0", "inf"),
        minimiser="any distribution that gives a certain class at least 1 - alpha",
        convex=True,
        gradient_bound="1 - alpha",
        activation="none",
        torch=None,
        use="labels that may be wrong, when confident answers should be left alone",
        avoid="expecting it to hold confidence down: inside the set it does nothing",
        failure=silent_inside,
        inputs=logits_of_classes,
        problem=inside_the_set,
        examples=({}, {"alpha": 0.3}),
    ),
    LossCard(
        loss=calibration.BrierLoss,
        formula=r"\sum_k (p_k - [k = y])^2",
        domain="distributions over the classes",
        range=("0", "2"),
        minimiser="the probabilities of the classes",
        convex=True,
        gradient_bound="2",
        activation="softmax",
        torch="((probs - F.one_hot(target, K)) ** 2).sum(1).mean()",
        use="judging probabilities with a bounded price for a mistake",
        avoid="training from scratch through a softmax: confident mistakes hardly move",
        failure=sure_mistakes_are_cheap,
        inputs=probs_of_classes,
        problem=one_draw(lambda loss, p: p, as_distribution),
    ),
]
