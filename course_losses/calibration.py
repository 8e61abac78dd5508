"""Is a predicted probability of 0.8 right 8 times in 10? Losses, a repair and a measure for it."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import brentq
from torch import Tensor, nn

from course_losses.checks import class_per_position, floating, probabilities, whole, within
from course_losses.loss import Loss, Reduction, in_float32


class LabelRelaxationLoss(Loss):
    r"""Cross-entropy that is content once the true class has a probability of ``1 - alpha``.

    .. math::
        \ell(p, y) = \begin{cases} 0 & p_y \ge 1 - \alpha \\
            (1 - \alpha) \log \dfrac{1 - \alpha}{p_y} + \alpha \log \dfrac{\alpha}{1 - p_y}
            & \text{otherwise} \end{cases} \qquad p = \text{softmax}(\text{logits})

    The target is a set: every distribution that gives the true class at least :math:`1 - \alpha`.
    Outside it, this is the Kullback-Leibler divergence from :math:`p` to its projection on the set,
    which gives the other classes :math:`\alpha`, shared as :math:`p` shares among them. The
    gradient for the true class is :math:`p_y - (1 - \alpha)` outside, and inside it is 0: a
    confident right answer is neither rewarded nor discouraged.

    Args:
        alpha: the mass that may go to other classes, in (0, 1).
        reduction: "mean", "sum" or "none".

    Shape:
        logits: :math:`(N, C, *)`. target: :math:`(N, *)`, integer. Result: scalar;
        :math:`(N, *)` for "none".

    Range:
        :math:`[0, \infty)`, in nats.

    Raises:
        ValueError: ``alpha`` is not in (0, 1), a target is no class, the shapes do not fit, or
            the batch is empty.
        TypeError: the logits are not a floating-point tensor, or the target not an integer one.

    Convention:
        Not label smoothing, whose target is one distribution with :math:`\alpha` shared evenly,
        and which pulls confident answers back.

    Source:
        Lienen & Hüllermeier (2021), From Label Smoothing to Label Relaxation, Eq. (3)-(5).

    >>> logits = torch.tensor([[0.6, 0.3, 0.1], [0.95, 0.03, 0.02]]).log()
    >>> LabelRelaxationLoss(alpha=0.1, reduction="none")(logits, torch.tensor([0, 0]))
    tensor([0.2263, 0.0000])
    """

    def __init__(self, alpha: float = 0.1, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.alpha = within("alpha", alpha, "(0, 1)")

    @in_float32
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        target = class_per_position(target, logits=logits)
        log_p = -F.cross_entropy(logits, target, reduction="none")
        border = math.log1p(-self.alpha)
        outside = log_p.clamp(max=border)
        log_rest = torch.log(-torch.expm1(outside))
        divergence = (1 - self.alpha) * (border - outside) + self.alpha * (
            math.log(self.alpha) - log_rest
        )
        return self.reduce(torch.where(log_p < border, divergence, 0.0))


class BrierLoss(Loss):
    r"""Squared error of the whole predicted distribution: proper, bounded, and it sees every class.

    .. math::
        \ell(p, y) = \sum_k (p_k - \mathbf{1}_{k=y})^2

    The gradient is :math:`2(p_k - \mathbf{1}_{k=y})`. The expected loss is smallest where
    :math:`p` is the true distribution, as for cross-entropy, but a confident mistake costs at
    most 2.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        probs: :math:`(N, C, *)`, summing to 1 over C. target: :math:`(N, *)`, integer. Result:
        scalar; :math:`(N, *)` for "none".

    Range:
        :math:`[0, 2]`.

    Raises:
        ValueError: a value is outside [0, 1], the classes do not sum to 1 (within 0.01), a target
            is no class, the shapes do not fit, or the batch is empty.
        TypeError: ``probs`` is not a floating-point tensor, or the target not an integer one.

    Convention:
        Summed over the classes, as Brier did. Some libraries divide by C; for two classes others
        take one class only, which is half of this.

    Source:
        Brier (1950), Verification of Forecasts Expressed in Terms of Probability.

    >>> BrierLoss()(torch.tensor([[0.6, 0.4, 0.0]]), torch.tensor([0]))
    tensor(0.3200)
    """

    @in_float32
    def forward(self, probs: Tensor, target: Tensor) -> Tensor:
        target = distributions(probs, target).unsqueeze(1)
        wrong = probs.scatter(1, target, 0.0)
        missing = 1 - probs.gather(1, target).squeeze(1)
        return self.reduce((wrong**2).sum(1) + missing**2)


class TemperatureScaling(nn.Module):
    r"""One number that softens or sharpens all predictions of a trained classifier.

    .. math::
        p = \text{softmax}(\text{logits} / T)

    No class changes its rank, so the accuracy stays as it is. ``fit`` finds the :math:`T` with the
    smallest cross-entropy on held-out data: in :math:`1/T` the problem is convex, with slope
    :math:`\operatorname{mean}\bigl(\sum_k p_k z_k - z_y\bigr)`, whose zero is found by
    Brent's method.

    ``temperature`` is a buffer, 1 until ``fit`` is called: it is saved with the model, and no
    optimiser trains it on the training data by accident.

    Shape:
        logits: :math:`(*)`. Result: the same.

    Raises:
        ValueError: (``fit``) no temperature is best, the shapes do not fit, or there is no data.
        TypeError: the logits are not a floating-point tensor, or the target not an integer one.

    Source:
        Guo, Pleiss, Sun & Weinberger (2017), On Calibration of Modern Neural Networks, §4.2.

    >>> logits = torch.tensor([[4.0, 0.0]] * 4)
    >>> TemperatureScaling().fit(logits, torch.tensor([0, 0, 0, 1])).temperature
    tensor(3.6410)
    """

    temperature: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, logits: Tensor) -> Tensor:
        floating(logits=logits)
        return logits / self.temperature.to(logits)

    @torch.no_grad()
    def fit(self, logits: Tensor, target: Tensor) -> "TemperatureScaling":
        """Set the temperature for held-out logits (N, C, ...) and classes (N, ...)."""
        target = class_per_position(target, logits=logits).unsqueeze(1)
        gaps = logits.double()
        gaps = gaps - gaps.gather(1, target)  # how far each class is above the true one
        if not gaps.isfinite().all():
            raise ValueError("logits must be finite, got inf or nan: mask them before fitting")

        def slope(inverse: float) -> float:
            return float(((inverse * gaps).softmax(1) * gaps).sum())

        if gaps.max() <= 0:
            raise ValueError(
                "logits must have an error to learn from, got the true class on top everywhere: "
                "the best temperature would be 0; fit on more held-out data"
            )
        if slope(0.0) >= 0:
            raise ValueError(
                "logits must be higher for the true class than on average, got no such relation: "
                "the best temperature would be infinite; check that target belongs to logits"
            )
        high = 1.0
        while slope(high) < 0:
            high *= 2
        self.temperature.fill_(1 / brentq(slope, 0.0, high, xtol=1e-15 * high))
        return self


class ReliabilityCurve(NamedTuple):
    """One entry per bin: mean confidence and accuracy (NaN in an empty bin), number of examples."""

    confidence: Tensor
    accuracy: Tensor
    counts: Tensor


def reliability_curve(probs: Tensor, target: Tensor, bins: int = 15) -> ReliabilityCurve:
    r"""Confidence beside accuracy, in bins of equal width: what a reliability diagram shows.

    Confidence is the largest probability. Bin :math:`b` of :math:`B` holds the confidences in
    :math:`((b - 1)/B, b/B]`, so a confidence of exactly 1 is in the last one.

    Args:
        probs: predicted distributions, (N, C, ...).
        target: classes, (N, ...).
        bins: number of bins, >= 1.

    >>> probs = torch.tensor([[0.9, 0.1], [0.8, 0.2], [1.0, 0.0]])
    >>> reliability_curve(probs, torch.tensor([0, 1, 0]), bins=4).accuracy
    tensor([   nan,    nan,    nan, 0.6667])
    """
    target = distributions(probs, target).flatten()
    whole("bins", bins)
    probs = probs.detach().to(torch.promote_types(probs.dtype, torch.float32))
    confidence, predicted = (x.flatten() for x in probs.max(dim=1))
    edges = torch.arange(1, bins, dtype=torch.float64, device=probs.device) / bins
    bin_of = torch.bucketize(confidence, edges.to(confidence))
    counts = bin_of.bincount(minlength=bins)

    def mean(values: Tensor) -> Tensor:
        total = torch.zeros(bins, dtype=torch.float64, device=probs.device)
        return (total.index_add(0, bin_of, values.double()) / counts).to(probs.dtype)

    return ReliabilityCurve(mean(confidence), mean(predicted == target), counts)


def expected_calibration_error(probs: Tensor, target: Tensor, bins: int = 15) -> Tensor:
    r"""How far confidence and accuracy are apart, on average over bins weighted by their size.

    .. math::
        \text{ECE} = \sum_b \frac{n_b}{N} \left| \text{accuracy}_b - \text{confidence}_b \right|

    A perfectly calibrated model does not score 0: with few examples in a bin its accuracy
    scatters. Report that floor, or the number of examples, beside it.

    Args:
        probs: predicted distributions, (N, C, ...).
        target: classes, (N, ...).
        bins: number of bins of equal width, >= 1; see :func:`reliability_curve`.

    Source:
        Guo, Pleiss, Sun & Weinberger (2017), On Calibration of Modern Neural Networks, §2.

    >>> probs = torch.tensor([[0.9, 0.1], [0.8, 0.2], [1.0, 0.0]])
    >>> expected_calibration_error(probs, torch.tensor([0, 1, 0]), bins=4)
    tensor(0.2333)
    """
    confidence, accuracy, counts = reliability_curve(probs, target, bins)
    gap = (accuracy - confidence).abs().nan_to_num()
    return (gap * counts).sum() / counts.sum()


def distributions(probs: Tensor, target: Tensor) -> Tensor:
    """The target as int64, once ``probs`` holds a distribution over dimension 1 for each."""
    target = class_per_position(target, probs=probs)
    probabilities(probs=probs)
    if not torch.compiler.is_compiling():
        total = probs.detach().sum(1)
        worst = total.flatten()[(total - 1).abs().argmax()].item()
        if abs(worst - 1) > 0.01:
            raise ValueError(
                f"probs must sum to 1 over dimension 1, got a sum of {worst:.4g}: "
                "did you forget a softmax?"
            )
    return target
