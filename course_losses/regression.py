"""Losses for real-valued targets: what each makes of an error, and what it makes you predict."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from course_losses.checks import all_positive, flag, floating, not_empty, same_shape, within
from course_losses.loss import Loss, Reduction, in_float32


def residual(pred: Tensor, target: Tensor) -> Tensor:
    """``pred - target``, element by element and never broadcast."""
    floating(pred=pred, target=target)
    same_shape(pred=pred, target=target)
    not_empty(pred=pred)
    return pred - target


class MSELoss(Loss):
    r"""Squared error: the loss whose best constant prediction is the mean.

    .. math::
        \ell(r) = r^2 \qquad r = \text{pred} - \text{target}

    The gradient :math:`2r` grows with the error, so one far target can outweigh many near ones.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        pred, target: :math:`(*)`, equal. Result: scalar; :math:`(*)` for "none".

    Range:
        :math:`[0, \infty)`, in squared units of the target.

    Raises:
        ValueError: the shapes differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        No factor ½. Huber's quadratic part has one, so near zero it is half as steep.

    Source:
        Gauss (1809), Theoria motus corporum coelestium, §179; as a score for the mean,
        Gneiting (2011), Making and evaluating point forecasts, Eq. (18) for the square.

    >>> MSELoss()(torch.tensor([2.5, 0.0]), torch.tensor([3.0, 2.0]))
    tensor(2.1250)
    """

    @in_float32
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.reduce(residual(pred, target) ** 2)


class L1Loss(Loss):
    r"""Absolute error: the loss whose best constant prediction is the median.

    .. math::
        \ell(r) = |r| \qquad r = \text{pred} - \text{target}

    The gradient is the sign of :math:`r`: every target pulls equally hard, however far it is.
    At :math:`r = 0` it is set to 0.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        pred, target: :math:`(*)`, equal. Result: scalar; :math:`(*)` for "none".

    Range:
        :math:`[0, \infty)`, in units of the target.

    Raises:
        ValueError: the shapes differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Source:
        Laplace (1774); as a score for the median, Gneiting (2011), Making and evaluating point
        forecasts, Eq. (24) at level ½.

    >>> L1Loss()(torch.tensor([2.5, 0.0]), torch.tensor([3.0, 2.0]))
    tensor(1.2500)
    """

    @in_float32
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.reduce(residual(pred, target).abs())


class HuberLoss(Loss):
    r"""Quadratic near zero, linear beyond ``delta``: one bad target cannot dominate the fit.

    .. math::
        \ell(r) = \begin{cases} \tfrac12 r^2 & |r| \le \delta \\
                  \delta\,(|r| - \tfrac12 \delta) & \text{otherwise} \end{cases}
        \qquad r = \text{pred} - \text{target}

    The gradient is :math:`r` clipped to :math:`[-\delta, \delta]`.

    Args:
        delta: where the loss turns linear, in units of the target, > 0.
        reduction: "mean", "sum" or "none".

    Shape:
        pred, target: :math:`(*)`, equal. Result: scalar; :math:`(*)` for "none".

    Range:
        :math:`[0, \infty)`, in squared units of the target.

    Raises:
        ValueError: ``delta`` is not positive, the shapes differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        ``delta`` times :class:`SmoothL1Loss` with ``beta=delta``; the two agree only at 1.

    Source:
        Huber (1964), Robust Estimation of a Location Parameter.

    >>> HuberLoss(delta=1.0)(torch.tensor([2.5, 10.0]), torch.tensor([3.0, 8.0]))
    tensor(0.8125)
    """

    def __init__(self, delta: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.delta = within("delta", delta, "(0, inf)")

    @in_float32
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        size = residual(pred, target).abs()
        quadratic = 0.5 * size.clamp(max=self.delta) ** 2
        linear = self.delta * (size - 0.5 * self.delta)
        return self.reduce(torch.where(size <= self.delta, quadratic, linear))


class SmoothL1Loss(Loss):
    r"""Absolute error with its corner rounded off: slope ±1 beyond ``beta``, smooth inside.

    .. math::
        \ell(r) = \begin{cases} \dfrac{r^2}{2\beta} & |r| < \beta \\
                  |r| - \tfrac12 \beta & \text{otherwise} \end{cases}
        \qquad r = \text{pred} - \text{target}

    The gradient is :math:`r / \beta` clipped to :math:`[-1, 1]`.

    Args:
        beta: half the width of the rounded corner, in units of the target, > 0.
        reduction: "mean", "sum" or "none".

    Shape:
        pred, target: :math:`(*)`, equal. Result: scalar; :math:`(*)` for "none".

    Range:
        :math:`[0, \infty)`, in units of the target.

    Raises:
        ValueError: ``beta`` is not positive, the shapes differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        :class:`HuberLoss` with ``delta=beta``, divided by ``beta``. As ``beta`` shrinks this
        becomes :class:`L1Loss`, whereas Huber's loss goes to 0.

    Source:
        Girshick (2015), Fast R-CNN, Eq. (3), for ``beta=1``.

    >>> SmoothL1Loss(beta=0.5)(torch.tensor([2.75, 10.0]), torch.tensor([3.0, 8.0]))
    tensor(0.9062)
    """

    def __init__(self, beta: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.beta = within("beta", beta, "(0, inf)")

    @in_float32
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        size = residual(pred, target).abs()
        corner = size.clamp(max=self.beta)
        quadratic = 0.5 * corner * (corner / self.beta)
        linear = size - 0.5 * self.beta
        return self.reduce(torch.where(size < self.beta, quadratic, linear))


class LogCoshLoss(Loss):
    r"""A Huber-like loss without a seam: every derivative exists everywhere.

    .. math::
        \ell(r) = \log \cosh r \qquad r = \text{pred} - \text{target}

    It is about :math:`\tfrac12 r^2` near zero and :math:`|r| - \log 2` far away.
    The gradient is :math:`\tanh r`, the curvature :math:`1 - \tanh^2 r`.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        pred, target: :math:`(*)`, equal. Result: scalar; :math:`(*)` for "none".

    Range:
        :math:`[0, \infty)`. The bend sits at :math:`|r| \approx 1`, so scale the target first.

    Raises:
        ValueError: the shapes differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        ``log(cosh(r))`` as written overflows at 89.5 in float32 and is 0 below 3e-4. Here
        :math:`\log(1 + 2 \sinh^2 (r/2))` serves small errors and
        :math:`|r| + \log(1 + e^{-2|r|}) - \log 2` the others.

    Source:
        Saleh & Saleh (2022), Statistical Properties of the log-cosh Loss Function Used in Machine
        Learning.

    >>> LogCoshLoss(reduction="none")(torch.tensor([0.001, 100.0]), torch.tensor([0.0, 0.0]))
    tensor([5.0000e-07, 9.9307e+01])
    """

    @in_float32
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        error = residual(pred, target)
        size = error.abs()
        near = torch.log1p(2 * torch.sinh(error.clamp(-1, 1) / 2) ** 2)
        far = size + F.softplus(-2 * size) - math.log(2)
        return self.reduce(torch.where(size < 1, near, far))


class AsymmetricMSELoss(Loss):
    r"""Squared error that charges over-prediction more (or less) than under-prediction.

    .. math::
        \ell(r) = \begin{cases} w\, r^2 & r > 0 \\ r^2 & r \le 0 \end{cases}
        \qquad r = \text{pred} - \text{target}

    The gradient is :math:`2wr` above the target and :math:`2r` below it. The best constant
    prediction is the expectile at level :math:`1 / (1 + w)`, which is not a quantile.

    Args:
        over_penalty: the weight :math:`w` on ``pred > target``, > 0; 1 gives :class:`MSELoss`.
        reduction: "mean", "sum" or "none".

    Shape:
        pred, target: :math:`(*)`, equal. Result: scalar; :math:`(*)` for "none".

    Range:
        :math:`[0, \infty)`, in squared units of the target.

    Raises:
        ValueError: ``over_penalty`` is not positive, the shapes differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        "mean" divides by the number of elements, not by the sum of the weights.

    Source:
        Newey & Powell (1987), Asymmetric Least Squares Estimation and Testing; as a score for the
        expectile, Gneiting (2011), Making and evaluating point forecasts, Eq. (27).

    >>> AsymmetricMSELoss(over_penalty=2.0)(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0]))
    tensor(1.5000)
    """

    def __init__(self, over_penalty: float = 2.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.over_penalty = within("over_penalty", over_penalty, "(0, inf)")

    @in_float32
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        error = residual(pred, target)
        weight = torch.where(error > 0, self.over_penalty, 1.0)
        return self.reduce(weight * error * error)


class QuantileLoss(Loss):
    r"""The pinball loss: its best constant prediction is the ``quantile`` you ask for.

    .. math::
        \ell(u) = \max\bigl(q\,u,\ (q - 1)\,u\bigr) \qquad u = \text{target} - \text{pred}

    The gradient with respect to the prediction is :math:`-q` below the target and
    :math:`1 - q` above it: it balances when a share :math:`q` of the targets lies below.
    At :math:`u = 0` it is set midway, to :math:`\tfrac12 - q`.

    Args:
        quantile: the level :math:`q`, in (0, 1).
        reduction: "mean", "sum" or "none".

    Shape:
        pred, target: :math:`(*)`, equal. Result: scalar; :math:`(*)` for "none".

    Range:
        :math:`[0, \infty)`, in units of the target.

    Raises:
        ValueError: ``quantile`` is not in (0, 1), the shapes differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        ``quantile=0.5`` is half of :class:`L1Loss`.

    Source:
        Koenker & Bassett (1978), Regression Quantiles; as a score for the quantile,
        Gneiting (2011), Making and evaluating point forecasts, Eq. (24).

    >>> QuantileLoss(quantile=0.9)(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0]))
    tensor(0.5000)
    """

    def __init__(self, quantile: float = 0.5, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.quantile = within("quantile", quantile, "(0, 1)")

    @in_float32
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        under = -residual(pred, target)
        return self.reduce(torch.maximum(self.quantile * under, (self.quantile - 1) * under))


class GaussianNLLLoss(Loss):
    r"""Minus the log-density of a normal: the network says how sure it is, and pays for it.

    .. math::
        \ell(\mu, \sigma^2; y) = \tfrac12 \left( \log \sigma^2
            + \frac{(y - \mu)^2}{\sigma^2} \right) \; \left[ + \tfrac12 \log 2\pi \right]

    The gradient with respect to the mean is the error divided by the variance, so points that
    the network calls noisy pull less. The best constant variance is the mean squared error.

    Args:
        full: add the constant :math:`\tfrac12 \log 2\pi`.
        reduction: "mean", "sum" or "none".

    Shape:
        mean, variance, target: :math:`(*)`, equal. Result: scalar; :math:`(*)` for "none".

    Range:
        :math:`(-\infty, \infty)`, in nats: a density may exceed 1, so a negative loss is no bug.

    Raises:
        ValueError: a variance is not positive, the shapes differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        The second argument is the variance, not the standard deviation. Nothing is clamped:
        torch's version lifts variances below 1e-6 in silence.

    Source:
        Nix & Weigend (1994), Estimating the Mean and Variance of the Target Probability
        Distribution.

    >>> GaussianNLLLoss()(torch.tensor([1.0]), torch.tensor([4.0]), torch.tensor([3.0]))
    tensor(1.1931)
    """

    def __init__(self, full: bool = False, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.full = flag("full", full)

    @in_float32
    def forward(self, mean: Tensor, variance: Tensor, target: Tensor) -> Tensor:
        floating(mean=mean, variance=variance, target=target)
        same_shape(mean=mean, variance=variance, target=target)
        not_empty(mean=mean)
        all_positive(variance=variance)
        standardised = (target - mean) / variance.sqrt()
        constant = math.log(2 * math.pi) if self.full else 0.0
        return self.reduce(0.5 * (variance.log() + standardised**2 + constant))
