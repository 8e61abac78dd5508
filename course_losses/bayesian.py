"""Losses for networks whose weights are distributions, and the layers to build them from."""

import copy
import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_losses.checks import (
    class_per_position,
    fits,
    floating,
    not_empty,
    one_of,
    whole,
    within,
)
from course_losses.loss import Loss, Reduction, in_float32, with_reduction


class MeanField(nn.Module):
    """What the Bayesian layers share: an independent normal for every entry of weight and bias.

    Each has two parameters, ``weight_mean`` and ``weight_rho`` with ``weight_std`` =
    softplus(rho); the same for the bias.
    """

    options: ClassVar[tuple[str, ...]]
    """The attributes that the layer keeps of its deterministic counterpart."""

    weight_mean: nn.Parameter
    weight_rho: nn.Parameter
    bias_mean: nn.Parameter | None
    bias_rho: nn.Parameter | None

    def become(self, layer: nn.Module, prior_std: float, posterior_std: float) -> None:
        """Take a deterministic layer's options, and its weights as means."""
        super().__init__()
        for option in self.options:
            setattr(self, option, getattr(layer, option))
        self.prior_std = within("prior_std", prior_std, "(0, inf)")
        std = within("posterior_std", posterior_std, "(0, inf)")
        start = std + math.log(-math.expm1(-std))
        for name in ("weight", "bias"):
            mean, rho = getattr(layer, name), None
            if mean is not None:
                rho = nn.Parameter(torch.full_like(mean, start), mean.requires_grad)
            self.register_parameter(f"{name}_mean", mean)
            self.register_parameter(f"{name}_rho", rho)
        self.train(layer.training)

    @property
    def weight_std(self) -> Tensor:
        return F.softplus(self.weight_rho)

    @property
    def bias_std(self) -> Tensor | None:
        return None if self.bias_rho is None else F.softplus(self.bias_rho)

    def sample(self) -> tuple[Tensor, Tensor | None]:
        """A fresh weight and bias, differentiable with respect to means and stds."""
        weight = self.weight_mean + self.weight_std * torch.randn_like(self.weight_mean)
        if self.bias_mean is None or self.bias_std is None:
            return weight, None
        return weight, self.bias_mean + self.bias_std * torch.randn_like(self.bias_mean)

    def kl_divergence(self, prior_loc: float = 0.0, prior_scale: float | None = None) -> Tensor:
        """KL(posterior || prior) summed over all weights; the prior is N(0, prior_std²) unless told
        otherwise."""
        scale = self.prior_std if prior_scale is None else prior_scale
        total = _normal_kl(self.weight_mean, self.weight_std, prior_loc, scale)
        if self.bias_mean is not None and self.bias_std is not None:
            total = total + _normal_kl(self.bias_mean, self.bias_std, prior_loc, scale)
        return total

    def extra_repr(self) -> str:
        options = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.options)
        return f"{options}, bias={self.bias_mean is not None}, prior_std={self.prior_std!r}"


def _normal_kl(mean: Tensor, std: Tensor, prior_loc: float, prior_scale: float) -> Tensor:
    ratio = std / prior_scale
    return (0.5 * (ratio**2 + ((mean - prior_loc) / prior_scale) ** 2 - 1) - ratio.log()).sum()


class BayesianLinear(MeanField):
    r"""A linear layer that draws new weights at every call.

    .. math::
        y = W x + b \qquad W_{ij} = \mu_{ij} + \sigma_{ij} \varepsilon_{ij},\quad
        \varepsilon_{ij} \sim \mathcal N(0, 1),\quad \sigma = \log(1 + e^\rho)

    One draw serves the whole batch. Since the noise is drawn apart from :math:`\mu` and
    :math:`\rho`, both receive gradients.

    Args:
        in_features: size of the input, >= 1.
        out_features: size of the output, >= 1.
        bias: whether there is a bias, with a distribution of its own.
        prior_std: standard deviation of the prior :math:`\mathcal N(0, \cdot)`, > 0.
        posterior_std: standard deviation that :math:`\rho` starts from, > 0.

    Shape:
        input: :math:`(*, \text{in\_features})`. Result: :math:`(*, \text{out\_features})`.

    Raises:
        ValueError: a size or a standard deviation is not positive.
        TypeError: a size is not an integer.

    Source:
        Blundell, Cornebise, Kavukcuoglu & Wierstra (2015), Weight Uncertainty in Neural Networks,
        §3.2; here with a normal prior.

    >>> layer, x = BayesianLinear(3, 2), torch.ones(1, 3)
    >>> torch.equal(layer(x), layer(x))
    False
    """

    options = ("in_features", "out_features")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        prior_std: float = 1.0,
        posterior_std: float = 0.05,
    ) -> None:
        layer = nn.Linear(
            whole("in_features", in_features), whole("out_features", out_features), bias
        )
        self.become(layer, prior_std, posterior_std)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, *self.sample())


class BayesianConv2d(MeanField):
    r"""A convolution that draws new weights at every call.

    .. math::
        y = W * x + b \qquad W = \mu + \sigma \odot \varepsilon,\quad
        \varepsilon \sim \mathcal N(0, 1),\quad \sigma = \log(1 + e^\rho)

    One draw serves all positions and the whole batch.

    Args:
        in_channels, out_channels, kernel_size, stride: as in ``torch.nn.Conv2d``.
        padding, dilation, groups, bias, padding_mode: as in ``torch.nn.Conv2d``.
        prior_std: standard deviation of the prior :math:`\mathcal N(0, \cdot)`, > 0.
        posterior_std: standard deviation that :math:`\rho` starts from, > 0.

    Shape:
        input: :math:`(N, C_\text{in}, H, W)` or :math:`(C_\text{in}, H, W)`. Result: as
        ``torch.nn.Conv2d``.

    Raises:
        ValueError: a standard deviation is not positive, or ``torch.nn.Conv2d`` refuses the rest.

    Source:
        Blundell, Cornebise, Kavukcuoglu & Wierstra (2015), Weight Uncertainty in Neural Networks,
        §3.2; here with a normal prior.

    >>> layer, x = BayesianConv2d(1, 2, kernel_size=3), torch.ones(1, 1, 4, 4)
    >>> torch.equal(layer(x), layer(x))
    False
    """

    options = (
        *("in_channels", "out_channels", "kernel_size", "stride"),
        *("padding", "dilation", "groups", "padding_mode"),
    )
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] | str
    dilation: tuple[int, int]
    groups: int
    padding_mode: str

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        prior_std: float = 1.0,
        posterior_std: float = 0.05,
    ) -> None:
        layer = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
        )
        self.become(layer, prior_std, posterior_std)

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.sample()
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self.margins(), mode=self.padding_mode)
            padding = (0, 0)
        return F.conv2d(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def margins(self) -> list[int]:
        """What to add left, right, above and below."""
        sides = []
        for axis in (1, 0):
            missing = self.dilation[axis] * (self.kernel_size[axis] - 1)
            if self.padding == "valid":
                sides += [0, 0]
            elif self.padding == "same":
                sides += [missing // 2, missing - missing // 2]
            else:
                sides += [int(self.padding[axis])] * 2
        return sides


BAYESIAN: dict[type[nn.Module], type[MeanField]] = {
    nn.Linear: BayesianLinear,
    nn.Conv2d: BayesianConv2d,
}


def bayesian(module: nn.Module, prior_std: float = 1.0, posterior_std: float = 0.05) -> nn.Module:
    """A Bayesian copy of a network: its weights become the means of distributions.

    Every ``nn.Linear`` and ``nn.Conv2d`` is replaced by its Bayesian counterpart, on the same
    device and in the same dtype; the rest is copied as it is, subclasses of the two included.
    A layer that is used in several places stays one layer. The original is not touched.

    Args:
        module: the network, or a single layer.
        prior_std: standard deviation of the prior, > 0.
        posterior_std: standard deviation that every weight starts from, > 0.

    >>> bayesian(nn.Sequential(nn.Linear(4, 3), nn.ReLU()))
    Sequential(
      (0): BayesianLinear(in_features=4, out_features=3, bias=True, prior_std=1.0)
      (1): ReLU()
    )
    """
    model = copy.deepcopy(module)
    replaced: dict[nn.Module, MeanField] = {}
    for path, part in list(model.named_modules(remove_duplicate=False)):
        kind = BAYESIAN.get(type(part))
        if kind is None:
            continue
        if part not in replaced:
            replaced[part] = kind.__new__(kind)
            replaced[part].become(part, prior_std, posterior_std)
        if not path:
            return replaced[part]
        model.set_submodule(path, replaced[part])
    return model


def collect_kl_divergence(
    module: nn.Module, prior_loc: float = 0.0, prior_scale: float | None = None
) -> Tensor:
    """KL(posterior || prior) in nats, summed over all Bayesian layers of a network.

    Args:
        module: a network with at least one Bayesian layer.
        prior_loc: mean of the prior.
        prior_scale: standard deviation of the prior; None: each layer's own ``prior_std``.

    >>> layer = BayesianLinear(2, 1, bias=False, prior_std=1.0, posterior_std=1.0)
    >>> _ = nn.init.ones_(layer.weight_mean)
    >>> collect_kl_divergence(layer).item()
    1.0
    """
    layers = [part for part in module.modules() if isinstance(part, MeanField)]
    if not layers:
        raise ValueError(
            f"module must hold a Bayesian layer, got {type(module).__name__} without one: "
            "convert it with bayesian(module)"
        )
    total = layers[0].kl_divergence(prior_loc, prior_scale)
    for layer in layers[1:]:
        total = total + layer.kl_divergence(prior_loc, prior_scale).to(total)
    return total


class ELBOLoss(Loss):
    r"""Cross-entropy plus the price of moving the weights away from the prior.

    .. math::
        \ell = -\log \text{softmax}(z)_y + \lambda\, \mathrm{KL}(q \,\|\, p)

    With :math:`\lambda = 1/N` for :math:`N` examples in the whole training set, the mean is minus
    the evidence lower bound per example, estimated from one draw of the weights. The gradient is
    cross-entropy's plus a pull towards the prior.

    Args:
        kl_penalty: the weight :math:`\lambda`, >= 0. No default: 1/N is right, and N is yours.
        reduction: "mean", "sum" or "none".

    Shape:
        logits: :math:`(N, C, *)`. target: :math:`(N, *)`, integer. kl: one number, from
        :func:`collect_kl_divergence`. Result: scalar; :math:`(N, *)` for "none".

    Range:
        :math:`[0, \infty)`, in nats.

    Raises:
        ValueError: ``kl_penalty`` is negative, ``kl`` is not one number, a target is no class, the
            shapes do not fit, or the batch is empty.
        TypeError: an argument is not a tensor of the type above.

    Convention:
        E stands for evidence, the marginal likelihood; nothing here is evidential. Each example
        carries :math:`\lambda \mathrm{KL}`, so "sum" holds it once per example. A weight of
        1e-5 fits 100 000 examples; with 50 it shrinks the posterior 44-fold. A weight of
        1/batches is for a *sum* over the minibatch.

    Source:
        Blundell, Cornebise, Kavukcuoglu & Wierstra (2015), Weight Uncertainty in Neural Networks,
        Eq. (1) and §3.4.

    >>> logits, target = torch.zeros(2, 3), torch.tensor([0, 2])
    >>> ELBOLoss(kl_penalty=1 / 100)(logits, target, kl=torch.tensor(50.0))
    tensor(1.5986)
    """

    def __init__(self, kl_penalty: float, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.kl_penalty = within("kl_penalty", kl_penalty, "[0, inf)")

    @in_float32
    def forward(self, logits: Tensor, target: Tensor, kl: Tensor) -> Tensor:
        target = class_per_position(target, logits=logits)
        floating(kl=kl)
        if kl.numel() != 1:
            raise ValueError(
                f"kl must be one number, got shape {tuple(kl.shape)}: "
                "pass collect_kl_divergence(model)"
            )
        nll = F.cross_entropy(logits, target, reduction="none")
        return self.reduce(nll + self.kl_penalty * kl.reshape(()).to(nll))


class ExpectedLoss(Loss):
    r"""Any loss, averaged over several predictions for the same targets.

    .. math::
        \ell = \frac1S \sum_{s=1}^{S} \text{base}(\text{pred}_s, \text{target})

    The mean of the losses, not the loss of the mean prediction: by Jensen's inequality the
    second is smaller for a convex loss. The gradient reaches every sample.

    Args:
        base: a loss of (pred, target) with a reduction, from here or from torch. It is not
            modified.
        sample_dims: how many leading dimensions of ``pred`` are samples, >= 0.
        reduction: "mean", "sum" or "none"; None takes that of ``base``.

    Shape:
        pred: :math:`(*\text{sample}, N, \dots)`. target: as ``base`` wants it for one sample,
        either like pred without its sample dimensions or, for class indices, without the classes
        too. Result: scalar; :math:`(*\text{sample}, \dots)` for "none".

    Range:
        That of ``base``.

    Raises:
        ValueError: there are too few dimensions, the shapes do not fit, or the batch is empty.
        TypeError: ``base`` is no loss module, or ``pred`` is not a floating-point tensor.

    Convention:
        "sum" adds up over samples and examples. Each sample is a call of ``base``, so losses over
        a whole batch (Dice, NT-Xent) never mix two samples, and a weighted mean stays one.

    Source:
        Monte-Carlo estimate of :math:`\mathbb E_q[-\log p(y \mid w)]`: Blundell et al. (2015),
        Weight Uncertainty in Neural Networks, Eq. (2).

    >>> pred = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    >>> ExpectedLoss(nn.MSELoss())(pred, torch.tensor([1.0, 1.0]))
    tensor(0.5000)
    """

    def __init__(
        self, base: nn.Module, sample_dims: int = 1, reduction: Reduction | None = None
    ) -> None:
        inherited: Reduction = getattr(base, "reduction", "mean")
        super().__init__(inherited if reduction is None else reduction)
        self.base = with_reduction("base", base, self.reduction)
        self.sample_dims = whole("sample_dims", sample_dims, least=0)

    @in_float32
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.reduce(over_samples(self.base, pred, target, self.sample_dims))


def over_samples(base: nn.Module, pred: Tensor, target: Tensor, sample_dims: int) -> Tensor:
    """``base`` of each sample, stacked to (*sample, ...)."""
    floating(pred=pred)
    not_empty(pred=pred)
    samples, one = pred.shape[:sample_dims], pred.shape[sample_dims:]
    if not fits(target, one):
        raise ValueError(
            f"pred must have {sample_dims} sample dimensions before the shape that fits target, "
            f"got pred {tuple(pred.shape)}, target {tuple(target.shape)}"
        )
    values = torch.stack([base(sample, target) for sample in pred.reshape(-1, *one)])
    return values.reshape(samples + values.shape[1:])


class VariationalFreeEnergy(Loss):
    r"""Minus the evidence lower bound: how well a distribution over weights explains the data,
    and how far it moved from the prior to do so.

    .. math::
        \ell = \frac1S \sum_s \overline{-\log p(y \mid w_s)}
            + \lambda\, \frac{\mathrm{KL}(q \,\|\, p)}{N_\text{data}}

    where the bar is the mean over the batch. With :math:`\lambda = 1` this is
    :math:`-\text{ELBO} / N_\text{data}`, whatever the batch size, and its minimum over all
    distributions is the exact posterior.

    Args:
        nll: minus the log-likelihood, a loss of (pred, target) with a reduction. It is not
            modified.
        model: the network with Bayesian layers.
        num_data: number of examples in the whole training set, >= 1. No default: without it the
            KL would be counted once per example.
        prior_loc: mean of the prior; None: 0.
        prior_scale: standard deviation of the prior, > 0; None: each layer's own.
        kl_weight: the weight :math:`\lambda`, >= 0, for warming up or tempering.
        reduction: "mean", or "sum": N times as much for a batch of N.

    Shape:
        pred: :math:`(*\text{sample}, N, \dots)`, any number of sample dimensions. target: as
        ``nll`` wants it for one sample. Result: scalar.

    Range:
        That of ``nll``, plus a term that is never negative.

    Raises:
        ValueError: a hyperparameter is out of range, the model has no Bayesian layer, the shapes
            do not fit, or the batch is empty.
        TypeError: ``nll`` is no loss module, or ``pred`` is not a floating-point tensor.

    Convention:
        ``pred`` is what the model gave, not its input. "mean" is the mean that ``nll`` itself
        takes. If it averages over D values per example as well (regression with D outputs,
        pixels), the KL weighs D times too much beside it: use "sum", or ``kl_weight=1 / D``.
        "none" is not offered: the KL belongs to no single example.

    Source:
        Blundell, Cornebise, Kavukcuoglu & Wierstra (2015), Weight Uncertainty in Neural Networks,
        Eq. (1), (2) and §3.4.

    >>> model = BayesianLinear(4, 3)
    >>> criterion = VariationalFreeEnergy(nn.CrossEntropyLoss(), model, num_data=1000)
    >>> x, y = torch.zeros(8, 4), torch.zeros(8, dtype=torch.long)
    >>> criterion(torch.stack([model(x) for _ in range(5)]), y).shape
    torch.Size([])
    """

    def __init__(
        self,
        nll: nn.Module,
        model: nn.Module,
        num_data: int,
        prior_loc: float | None = None,
        prior_scale: float | None = None,
        kl_weight: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(one_of("reduction", reduction, ("mean", "sum")))
        self.nll = with_reduction("nll", nll, self.reduction)
        self.model = model
        self.num_data = whole("num_data", num_data)
        self.prior_loc = (
            None if prior_loc is None else within("prior_loc", prior_loc, "(-inf, inf)")
        )
        self.prior_scale = (
            None if prior_scale is None else within("prior_scale", prior_scale, "(0, inf)")
        )
        self.kl_weight = within("kl_weight", kl_weight, "[0, inf)")

    @in_float32
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        class_dimension = 0 if target.is_floating_point() else 1
        sample_dims = max(0, pred.dim() - target.dim() - class_dimension)
        nll = over_samples(self.nll, pred, target, sample_dims).mean()
        kl = collect_kl_divergence(self.model, self.prior_loc or 0.0, self.prior_scale).to(nll)
        examples = pred.shape[sample_dims] if self.reduction == "sum" else 1
        return nll + self.kl_weight * kl * (examples / self.num_data)


NegativeELBO = VariationalFreeEnergy
