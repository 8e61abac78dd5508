"""Expected losses of a Bayesian last layer without sampling it: less noise from the same draws.

The hidden layers are sampled, the last one is integrated out. Its outputs are normal given the
representation, with a mean and a variance that are known exactly.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from course_losses.bayesian import BayesianLinear
from course_losses.checks import class_indices, floating, not_empty, probabilities
from course_losses.loss import Loss, in_float32


def output_moments(representation: Tensor, output_layer: BayesianLinear) -> tuple[Tensor, Tensor]:
    """Mean and variance of every output of the layer, given its input."""
    floating(representation=representation)
    if not isinstance(output_layer, BayesianLinear):
        raise TypeError(
            f"output_layer must be a BayesianLinear, got {type(output_layer).__name__}: "
            "the closed form needs the mean and the std of each of its weights"
        )
    features = output_layer.in_features
    if representation.dim() < 2 or representation.shape[-1] != features:
        raise ValueError(
            f"representation must have shape (*sample, N, {features}), what output_layer takes in, "
            f"got {tuple(representation.shape)}"
        )
    not_empty(representation=representation)
    weight, bias = output_layer.weight_mean, output_layer.bias_mean
    weight_std, bias_std = output_layer.weight_std, output_layer.bias_std

    def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight.to(x), None if bias is None else bias.to(x))

    variances = weight_std**2, None if bias_std is None else bias_std**2
    return linear(representation, weight, bias), linear(representation**2, *variances)


def values_like(target: Tensor, mean: Tensor) -> Tensor:
    """The target, once it has one value for every output of every example."""
    floating(target=target)
    if target.shape != mean.shape[-2:]:
        raise ValueError(
            f"target must have shape {tuple(mean.shape[-2:])}, one value for each output of each "
            f"example, got {tuple(target.shape)}: nothing is broadcast"
        )
    return target


class MSELossVR(Loss):
    r"""The squared error expected over the last layer's weights: exact, and less noisy.

    .. math::
        \ell = \mathbb{E}_{w_L}\bigl[(f_w(x) - y)^2\bigr] = (m - y)^2 + v
        \qquad f_w(x) \sim \mathcal N(m, v)

    where :math:`m = h \cdot \mu + \mu_b` and :math:`v = h^2 \cdot \sigma^2 + \sigma_b^2` for a
    representation :math:`h`. Its mean over draws of :math:`h` is that of the sampled loss, its
    variance never larger (Rao-Blackwell). The gradient shrinks every spread that :math:`h` makes
    matter.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        representation: :math:`(*\text{sample}, N, F)`. output_layer: a :class:`BayesianLinear`
        from F to D. target: :math:`(N, D)`. Result: scalar; :math:`(*\text{sample}, N, D)` for
        "none".

    Range:
        :math:`[0, \infty)`, in squared units of the target.

    Raises:
        ValueError: the shapes do not fit, or the batch is empty.
        TypeError: ``output_layer`` is no :class:`BayesianLinear`, or a tensor not floating point.

    Convention:
        "mean" averages over samples, examples and outputs. A layer with one output needs targets
        of shape (N, 1).

    Source:
        Inferno, ``loss_fns.MSELossVR``; conditioning lowers the variance: Blackwell (1947),
        Conditional Expectation and Unbiased Sequential Estimation.

    >>> layer = BayesianLinear(1, 1, bias=False, posterior_std=0.5)
    >>> _ = torch.nn.init.ones_(layer.weight_mean)
    >>> loss = MSELossVR()(torch.tensor([[2.0]]), layer, torch.tensor([[5.0]]))
    >>> round(loss.item(), 4)
    10.0
    """

    @in_float32
    def forward(
        self, representation: Tensor, output_layer: BayesianLinear, target: Tensor
    ) -> Tensor:
        mean, variance = output_moments(representation, output_layer)
        target = values_like(target, mean)
        return self.reduce((mean - target) ** 2 + variance)


class BCEWithLogitsLossVR(Loss):
    r"""A bound on the binary cross-entropy expected over the last layer's weights, in closed form.

    .. math::
        \ell = y \log\bigl(1 + e^{-m + v/2}\bigr) + (1 - y) \log\bigl(1 + e^{m + v/2}\bigr)
        \;\ge\; \mathbb{E}_{w_L}\bigl[\text{BCE}(f_w(x), y)\bigr]
        \qquad f_w(x) \sim \mathcal N(m, v)

    Jensen's inequality moves the expectation inside the logarithm, where
    :math:`\mathbb{E}[e^{f}] = e^{m + v/2}`. The gradient with respect to :math:`v` is positive:
    spread always costs, even where the exact expectation would gain from it.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        representation: :math:`(*\text{sample}, N, F)`. output_layer: a :class:`BayesianLinear`
        from F to D. target: :math:`(N, D)`, in [0, 1]. Result: scalar;
        :math:`(*\text{sample}, N, D)` for "none".

    Range:
        :math:`(0, \infty)`, in nats.

    Raises:
        ValueError: a target is outside [0, 1], the shapes do not fit, or the batch is empty.
        TypeError: ``output_layer`` is no :class:`BayesianLinear`, or a tensor not floating point.

    Convention:
        An upper bound, so biased; the average over samples is outside the logarithm. It grows like
        :math:`v/2`, the sampled loss's scatter like :math:`\sqrt v`: for small variances it is the
        less noisy of the two, for large ones the noisier (variances of 1 and 10, each half of the
        time: 4.07 against 1.81). A layer with one output needs targets of shape (N, 1).

    Source:
        Inferno, ``loss_fns.BCEWithLogitsLossVR``.

    >>> layer = BayesianLinear(1, 1, bias=False, posterior_std=0.5)
    >>> _ = torch.nn.init.ones_(layer.weight_mean)
    >>> loss = BCEWithLogitsLossVR()(torch.tensor([[2.0]]), layer, torch.tensor([[1.0]]))
    >>> round(loss.item(), 4)
    0.2014
    """

    @in_float32
    def forward(
        self, representation: Tensor, output_layer: BayesianLinear, target: Tensor
    ) -> Tensor:
        mean, variance = output_moments(representation, output_layer)
        target = values_like(target, mean)
        probabilities(target=target)
        if_one, if_zero = F.softplus(variance / 2 - mean), F.softplus(variance / 2 + mean)
        return self.reduce(target * if_one + (1 - target) * if_zero)


class CrossEntropyLossVR(Loss):
    r"""A bound on the cross-entropy expected over the last layer's weights, in closed form.

    .. math::
        \ell = -m_y + \log \sum_c e^{m_c + v_c/2}
        \;\ge\; \mathbb{E}_{w_L}\bigl[\text{CE}(f_w(x), y)\bigr]
        \qquad f_w(x)_c \sim \mathcal N(m_c, v_c)

    The gradient with respect to :math:`m` is softmax(m + v/2) minus one-hot, and half of that
    softmax with respect to :math:`v`: the spread of likely classes costs most.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        representation: :math:`(*\text{sample}, N, F)`. output_layer: a :class:`BayesianLinear`
        from F to C. target: :math:`(N)`, integer classes. Result: scalar; :math:`(*\text{sample},
        N)` for "none".

    Range:
        :math:`(0, \infty)`, in nats: at least :math:`v_y / 2`, however sure the network is.

    Raises:
        ValueError: a target is no class, the shapes do not fit, or the batch is empty.
        TypeError: ``output_layer`` is no :class:`BayesianLinear`, the representation not floating
            point, or the target not an integer tensor.

    Convention:
        An upper bound, so biased; the average over samples is outside the logarithm. It is not the
        two-class form of :class:`BCEWithLogitsLossVR`, which goes to 0 for a sure right answer.

    Source:
        Inferno, ``loss_fns.CrossEntropyLossVR``.

    >>> layer = BayesianLinear(1, 2, bias=False, posterior_std=1.0)
    >>> _ = torch.nn.init.zeros_(layer.weight_mean)
    >>> loss = CrossEntropyLossVR()(torch.tensor([[2.0]]), layer, torch.tensor([1]))
    >>> round(loss.item(), 4)
    2.6931
    """

    @in_float32
    def forward(
        self, representation: Tensor, output_layer: BayesianLinear, target: Tensor
    ) -> Tensor:
        mean, variance = output_moments(representation, output_layer)
        class_indices(mean.shape[-1], target=target)
        if target.shape != mean.shape[-2:-1]:
            raise ValueError(
                f"target must have shape ({mean.shape[-2]},), one class for each example, "
                f"got {tuple(target.shape)}"
            )
        index = target.long().expand(mean.shape[:-1]).unsqueeze(-1)
        shifted = mean - mean.gather(-1, index)
        return self.reduce(torch.logsumexp(shifted + variance / 2, dim=-1))
