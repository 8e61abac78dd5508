"""Losses for networks that say how much evidence they have seen, not only what they predict."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_losses.checks import (
    all_positive,
    class_per_position,
    floating,
    not_empty,
    same_shape,
    whole,
)
from course_losses.loss import Loss, in_float32

NIG_PARAMETERS = ("gamma", "nu", "alpha", "beta")


def dirichlet(evidence: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Dirichlet parameters, evidence + 1: the true class's, and all with the true one set to 0.

    The sum of the second is the strength of the wrong classes, free of cancellation.
    """
    target = class_per_position(target, evidence=evidence).unsqueeze(1)
    _not_negative(evidence)
    alpha = evidence + 1
    return alpha.gather(1, target).squeeze(1), alpha.scatter(1, target, 0.0)


class EvidentialLogLoss(Loss):
    r"""Minus the log of the expected probability of the true class: cross-entropy of the mean.

    .. math::
        \ell(e, y) = -\log \mathbb{E}_{p \sim \mathrm{Dir}(\alpha)}[p_y]
            = \log S - \log \alpha_y \qquad \alpha = e + 1,\ S = \sum_k \alpha_k

    Only the ratio :math:`\alpha_y / S` counts: the loss does not care how much evidence there is
    in all. The gradient is :math:`1/S - 1/\alpha_y` for the true class, :math:`1/S` for the others.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        evidence: :math:`(N, C, *)`, >= 0. target: :math:`(N, *)`, integer. Result: scalar;
        :math:`(N, *)` for "none".

    Range:
        :math:`(0, \infty)`, in nats; :math:`\log C` without evidence.

    Raises:
        ValueError: evidence is negative, a target is no class, the shapes do not fit, or the
            batch is empty.
        TypeError: the evidence is not a floating-point tensor, or the target not an integer one.

    Convention:
        The input is evidence :math:`e \ge 0`, not :math:`\alpha`: the 1 is added here. Passing
        :math:`\alpha` counts it twice.

    Source:
        Sensoy, Kaplan & Kandemir (2018), Evidential Deep Learning to Quantify Classification
        Uncertainty, Eq. (3).

    >>> EvidentialLogLoss()(torch.tensor([[9.0, 0.0, 0.0]]), torch.tensor([0]))
    tensor(0.1823)
    """

    @in_float32
    def forward(self, evidence: Tensor, target: Tensor) -> Tensor:
        true, wrong = dirichlet(evidence, target)
        return self.reduce(torch.log1p(wrong.sum(1) / true))


class EvidentialCELoss(Loss):
    r"""The expected cross-entropy when the probabilities themselves are uncertain.

    .. math::
        \ell(e, y) = \mathbb{E}_{p \sim \mathrm{Dir}(\alpha)}[-\log p_y]
            = \psi(S) - \psi(\alpha_y) \qquad \alpha = e + 1,\ S = \sum_k \alpha_k

    By Jensen's inequality it lies above :class:`EvidentialLogLoss`; the gap closes as evidence
    grows, so this loss also rewards a larger :math:`S`. The gradient is
    :math:`\psi'(S) - \psi'(\alpha_y)` for the true class, :math:`\psi'(S)` for the others.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        evidence: :math:`(N, C, *)`, >= 0. target: :math:`(N, *)`, integer. Result: scalar;
        :math:`(N, *)` for "none".

    Range:
        :math:`(0, \infty)`, in nats; :math:`\sum_{k=1}^{C-1} 1/k` without evidence.

    Raises:
        ValueError: evidence is negative, a target is no class, the shapes do not fit, or the
            batch is empty.
        TypeError: the evidence is not a floating-point tensor, or the target not an integer one.

    Convention:
        The input is evidence, not :math:`\alpha`. Computed in float64: in float32 the two
        digammas agree in all digits long before the loss is 0. From :math:`\alpha_y = 10^6` on
        the difference is :math:`\log(S/\alpha_y) + \tfrac12 (1/\alpha_y - 1/S)`.

    Source:
        Sensoy, Kaplan & Kandemir (2018), Evidential Deep Learning to Quantify Classification
        Uncertainty, Eq. (4).

    >>> EvidentialCELoss()(torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([0]))
    tensor(1.5000)
    """

    @in_float32
    def forward(self, evidence: Tensor, target: Tensor) -> Tensor:
        floating(evidence=evidence)
        true, wrong = dirichlet(evidence.double(), target)
        rest = wrong.sum(1)
        strength = true + rest
        exact = strength.digamma() - true.digamma()
        large = torch.log1p(rest / true) + rest / true / strength / 2
        return self.reduce(torch.where(true < 1e6, exact, large).to(evidence.dtype))


class EvidentialMSELoss(Loss):
    r"""The expected Brier score when the probabilities themselves are uncertain.

    .. math::
        \ell(e, y) = \mathbb{E}_{p \sim \mathrm{Dir}(\alpha)} \lVert \mathbf{1}_y - p \rVert^2
            = \sum_k (\mathbf{1}_{k=y} - \bar p_k)^2 + \frac{\bar p_k (1 - \bar p_k)}{S + 1}
        \qquad \bar p = \frac{\alpha}{S},\ \alpha = e + 1,\ S = \sum_k \alpha_k

    The first term is the error of the mean, the second the variance. Bounded by 2, so a
    confident mistake costs little, and its gradient fades like :math:`1/S`.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        evidence: :math:`(N, C, *)`, >= 0. target: :math:`(N, *)`, integer. Result: scalar;
        :math:`(N, *)` for "none".

    Range:
        :math:`(0, 2)`.

    Raises:
        ValueError: evidence is negative, a target is no class, the shapes do not fit, or the
            batch is empty.
        TypeError: the evidence is not a floating-point tensor, or the target not an integer one.

    Convention:
        The input is evidence, not :math:`\alpha`. Summed over the classes, not averaged.

    Source:
        Sensoy, Kaplan & Kandemir (2018), Evidential Deep Learning to Quantify Classification
        Uncertainty, Eq. (5).

    >>> EvidentialMSELoss()(torch.tensor([[9.0, 0.0, 0.0]]), torch.tensor([0]))
    tensor(0.0641)
    """

    @in_float32
    def forward(self, evidence: Tensor, target: Tensor) -> Tensor:
        true, wrong = dirichlet(evidence, target)
        rest = wrong.sum(1)
        strength = true + rest
        missing = rest / strength  # 1 - the true class's probability
        squares = ((wrong / strength.unsqueeze(1)) ** 2).sum(1)
        variance = (missing * (2 - missing) - squares) / (strength + 1)
        return self.reduce(missing**2 + squares + variance)


class EvidentialKLDivergence(Loss):
    r"""How far the evidence for wrong classes is from none: the regulariser of evidential losses.

    .. math::
        \ell(e, y)
            = \mathrm{KL}\bigl(\mathrm{Dir}(\tilde\alpha) \,\|\, \mathrm{Dir}(1, \dots, 1)\bigr)
            = \sum_k h_1(\tilde e_k) - h_C\Bigl(\sum_k \tilde e_k\Bigr)
        \qquad \tilde\alpha = \tilde e + 1,\ \tilde e_k = \begin{cases} 0 & k = y \\ e_k &
        \text{otherwise} \end{cases}

    with :math:`h_c(x) = x\,\psi(c + x) - \log\Gamma(c + x) + \log\Gamma(c)`. The true class's
    evidence is removed first, so being rightly sure costs nothing and has no gradient. Since
    :math:`h_c'(x) = x\,\psi'(c + x)`, the gradient for a wrong class is
    :math:`e_k\, \psi'(1 + e_k) - E\, \psi'(C + E)`, where :math:`E = \sum_j \tilde e_j`.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        evidence: :math:`(N, C, *)`, >= 0. target: :math:`(N, *)`, integer. Result: scalar;
        :math:`(N, *)` for "none".

    Range:
        :math:`[0, \infty)`, in nats; 0 without evidence for a wrong class.

    Raises:
        ValueError: evidence is negative, a target is no class, the shapes do not fit, or the
            batch is empty.
        TypeError: the evidence is not a floating-point tensor, or the target not an integer one.

    Convention:
        Without the removal the same formula fights every right answer. It is a function of the
        training pair alone and sees no other data. Computed in float64: in float32 the usual
        formula gives 224 instead of 76 at an evidence of 1e7.

    Source:
        Sensoy, Kaplan & Kandemir (2018), Evidential Deep Learning to Quantify Classification
        Uncertainty, §4; there its weight in the total loss rises as min(1, epoch / 10).

    >>> EvidentialKLDivergence()(torch.tensor([[9.0, 0.0, 4.0]]), torch.tensor([0]))
    tensor(1.2414)
    """

    @in_float32
    def forward(self, evidence: Tensor, target: Tensor) -> Tensor:
        target = class_per_position(target, evidence=evidence).unsqueeze(1)
        _not_negative(evidence)
        alpha = evidence.double().scatter(1, target, 0.0) + 1
        wrong = alpha - 1  # as rounded, so that what cancels below cancels exactly
        of_classes = (wrong * alpha.digamma()).sum(1) - alpha.lgamma().sum(1)
        of_total = self.total_term(wrong.sum(1), evidence.shape[1])
        return self.reduce((of_classes - of_total).to(evidence.dtype))

    @staticmethod
    def total_term(x: Tensor, c: int) -> Tensor:
        r""":math:`h_c(x)`; where its terms cancel, the first of its series in Hurwitz' zeta."""
        exact = x * (x + c).digamma() - (x + c).lgamma() + math.lgamma(c)
        orders = torch.arange(2.0, 5.0, dtype=x.dtype, device=x.device)
        second, third, fourth = (1 - 1 / orders) * torch.special.zeta(orders, c)
        series = x * x * (second - x * (third - x * fourth))
        return torch.where(x < 1e-3 * c, series, exact)


class EvidentialNIGNLLLoss(Loss):
    r"""Minus the log-density of a Student t: a normal whose mean and variance are uncertain.

    .. math::
        \ell = \tfrac12 \log\frac{\pi}{\nu} - \alpha \log \Omega
            + \bigl(\alpha + \tfrac12\bigr) \log\bigl(\nu (y - \gamma)^2 + \Omega\bigr)
            + \log\frac{\Gamma(\alpha)}{\Gamma(\alpha + \frac12)}
        \qquad \Omega = 2\beta(1 + \nu)

    This is the t density with :math:`2\alpha` degrees of freedom, location :math:`\gamma` and
    squared scale :math:`\beta(1 + \nu)/(\nu\alpha)`. The gradient with respect to
    :math:`\gamma` falls off like one over the error, so outliers pull little.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        params: a mapping with gamma, nu, alpha, beta, each :math:`(*)`, equal to the target's.
        Result: scalar; :math:`(*)` for "none".

    Range:
        :math:`(-\infty, \infty)`, in nats: a density may exceed 1, so a negative loss is no bug.

    Raises:
        ValueError: a parameter is missing, nu, alpha or beta is not positive, the shapes differ,
            or the batch is empty.
        TypeError: ``params`` is no mapping, or a value is not a floating-point tensor.

    Convention:
        :math:`\Omega` holds the factor :math:`1 + \nu`; without it the values are wrong by up to
        1.6 nats. Along :math:`\beta(1 + \nu)/\nu` constant the loss does not change: it cannot
        tell :math:`\nu` and :math:`\beta` apart. Computed in float64.

    Source:
        Amini, Schwarting, Soleimany & Rus (2020), Deep Evidential Regression, §3.3; the t
        distribution and the invariance: Meinert, Gawlikowski & Lavin (2023), The Unreasonable
        Effectiveness of Deep Evidential Regression, Eq. (2) and (5).

    >>> one = torch.ones(1)
    >>> EvidentialNIGNLLLoss()({"gamma": one, "nu": one, "alpha": one, "beta": one}, one)
    tensor(1.3863)
    """

    @in_float32
    def forward(self, params: Mapping[str, Tensor], target: Tensor) -> Tensor:
        gamma, nu, alpha, beta = (p.double() for p in _nig(params, target))
        omega = 2 * beta * (1 + nu)
        surprise = (alpha + 0.5) * torch.log1p(nu * (target.double() - gamma) ** 2 / omega)
        exact = alpha.lgamma() - (alpha + 0.5).lgamma()
        large = 1 / (8 * alpha) - alpha.log() / 2
        gammas = torch.where(alpha < 1e5, exact, large)
        values = 0.5 * (omega.log() + math.log(math.pi) - nu.log()) + surprise + gammas
        return self.reduce(values.to(target.dtype))


class EvidentialRegressionRegularization(Loss):
    r"""The price of evidence for a prediction that was off: error times evidence.

    .. math::
        \ell = |y - \gamma|\, (2\nu + \alpha)

    The gradient with respect to the evidence is proportional to the error; at
    :math:`y = \gamma` any amount of it is free.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        params: a mapping with gamma, nu, alpha, beta, each :math:`(*)`, equal to the target's.
        Result: scalar; :math:`(*)` for "none".

    Range:
        :math:`[0, \infty)`, in units of the target.

    Raises:
        ValueError: a parameter is missing, nu, alpha or beta is not positive, the shapes differ,
            or the batch is empty.
        TypeError: ``params`` is no mapping, or a value is not a floating-point tensor.

    Convention:
        The absolute error, not its square, and :math:`2\nu + \alpha` as in the authors' code;
        :math:`\nu + 2\alpha` is better motivated according to Meinert et al. (2023). It is a
        function of the training pair alone and sees no other data.

    Source:
        Amini, Schwarting, Soleimany & Rus (2020), Deep Evidential Regression, §3.3.

    >>> one = torch.ones(1)
    >>> params = {"gamma": one, "nu": one, "alpha": 2 * one, "beta": one}
    >>> EvidentialRegressionRegularization()(params, 4 * one)
    tensor(12.)
    """

    @in_float32
    def forward(self, params: Mapping[str, Tensor], target: Tensor) -> Tensor:
        gamma, nu, alpha, _ = _nig(params, target)
        return self.reduce((target - gamma).abs() * (2 * nu + alpha))


class DirichletHead(nn.Module):
    r"""A last layer that gives evidence for each class.

    .. math::
        e = \log\bigl(1 + \exp(Wx + b)\bigr) \ge 0

    Softplus keeps a gradient where ReLU has none: a class whose evidence is 0 can still learn.

    Args:
        in_features: size of the representation, >= 1.
        num_classes: number of classes, >= 2.

    Shape:
        features: :math:`(*, \text{in\_features})`. Result: :math:`(*, \text{num\_classes})`.

    Raises:
        ValueError: a size is too small.
        TypeError: a size is not an integer.

    Convention:
        Gives evidence :math:`e`; the Dirichlet's parameters are :math:`e + 1`, the belief in class
        k is :math:`e_k / S`, the vacuity :math:`C / S`.

    Source:
        Sensoy, Kaplan & Kandemir (2018), Evidential Deep Learning to Quantify Classification
        Uncertainty, §3; with ReLU there.

    >>> DirichletHead(8, 3)(torch.zeros(5, 8)).shape
    torch.Size([5, 3])
    """

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(
            whole("in_features", in_features), whole("num_classes", num_classes, least=2)
        )

    def forward(self, features: Tensor) -> Tensor:
        return F.softplus(self.linear(features))


class NormalInverseGammaHead(nn.Module):
    r"""A last layer that gives the four parameters of a normal-inverse-gamma distribution.

    .. math::
        \gamma = z_1 \qquad \nu = s(z_2) \qquad \alpha = 1 + s(z_3) \qquad \beta = s(z_4)
        \qquad s(z) = \log(1 + e^z)

    with :math:`z = Wx + b` for each output. Prediction :math:`\gamma`, aleatoric variance
    :math:`\beta/(\alpha - 1)`, epistemic variance :math:`\beta/(\nu(\alpha - 1))`.

    Args:
        in_features: size of the representation, >= 1.
        out_features: number of targets per example, >= 1.

    Shape:
        features: :math:`(*, \text{in\_features})`. Result: a dictionary with gamma, nu, alpha and
        beta, each :math:`(*, \text{out\_features})`.

    Raises:
        ValueError: a size is too small.
        TypeError: a size is not an integer.

    Convention:
        The 1 keeps :math:`\alpha > 1`, without which the variances do not exist. One unit in the
        last place is added, so that none of the bounds is reached where softplus underflows.

    Source:
        Amini, Schwarting, Soleimany & Rus (2020), Deep Evidential Regression, §3.2.

    >>> sorted(NormalInverseGammaHead(8)(torch.zeros(5, 8)))
    ['alpha', 'beta', 'gamma', 'nu']
    """

    def __init__(self, in_features: int, out_features: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(
            whole("in_features", in_features), 4 * whole("out_features", out_features)
        )

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        gamma, *rest = self.linear(features).chunk(4, dim=-1)
        nu, above_one, beta = (F.softplus(z) + torch.finfo(z.dtype).eps for z in rest)
        return {"gamma": gamma, "nu": nu, "alpha": 1 + above_one, "beta": beta}


def _nig(params: Mapping[str, Tensor], target: Tensor) -> list[Tensor]:
    if not isinstance(params, Mapping):
        raise TypeError(
            f"params must be a mapping with {', '.join(NIG_PARAMETERS)}, "
            f"got {type(params).__name__}"
        )
    missing = [name for name in NIG_PARAMETERS if name not in params]
    if missing:
        raise ValueError(f"params must have {', '.join(NIG_PARAMETERS)}: {missing[0]} is missing")
    parameters = {name: params[name] for name in NIG_PARAMETERS}
    floating(**parameters, target=target)
    same_shape(**parameters, target=target)
    not_empty(target=target)
    all_positive(**{name: parameters[name] for name in NIG_PARAMETERS[1:]})
    return list(parameters.values())


def _not_negative(evidence: Tensor) -> None:
    if torch.compiler.is_compiling():
        return
    lowest = evidence.detach().min()
    if not lowest >= 0:
        raise ValueError(
            f"evidence must be at least 0, got {lowest.item():.4g}: "
            "pass the network's outputs through softplus"
        )
