"""Losses for models that make things up: the adversarial game, and the autoencoder's bound."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_losses.checks import (
    floating,
    not_empty,
    one_of,
    probabilities,
    same_shape,
    within,
)
from course_losses.loss import Loss, Reduction, in_float32

GANMode = Literal["minimax", "non_saturating", "wasserstein", "least_squares", "hinge"]
Reconstruction = Literal["bernoulli", "gaussian"]


class GANLoss(nn.Module):
    r"""The two sides of the adversarial game: each call minimises one side's loss.

    .. math::
        \begin{array}{lll}
        \textbf{mode} & \textbf{discriminator} & \textbf{generator} \\
        \text{minimax} & -E \log \sigma(r) - E \log \sigma(-f) & E \log \sigma(-f) \\
        \text{non-saturating} & \text{the same} & -E \log \sigma(f) \\
        \text{wasserstein} & -E\, r + E f & -E f \\
        \text{least squares} & \tfrac12 E (r - 1)^2 + \tfrac12 E f^2 & \tfrac12 E (f - 1)^2 \\
        \text{hinge} & E \max(0, 1 - r) + E \max(0, 1 + f) & -E f
        \end{array}

    :math:`r` are the discriminator's raw outputs on real examples, :math:`f` on generated ones.
    When the discriminator wins (:math:`f \to -\infty`), the generator's gradient on :math:`f` is
    :math:`-\sigma(f) \to 0` for minimax and :math:`-\sigma(-f) \to -1` for non-saturating: the
    two agree on where to go and differ in how loudly they say it.

    Args:
        mode: "minimax", "non_saturating", "wasserstein", "least_squares" or "hinge".

    Shape:
        real_logits, fake_logits: :math:`(N, *)` and :math:`(M, *)`, before any sigmoid. Results:
        scalars, the means over all elements.

    Raises:
        ValueError: ``mode`` is unknown, a batch is empty, or the shapes differ beyond the number
            of examples.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        The discriminator's loss is the sum of its two terms, not their mean. In its step pass
        ``fake.detach()`` through it, so that the generator is left alone. "wasserstein" needs a
        Lipschitz critic: see :func:`gradient_penalty`.

    Source:
        Goodfellow et al. (2014), Generative Adversarial Nets, Eq. (1) and §3; Arjovsky et al.
        (2017), Wasserstein GAN; Mao et al. (2017), Least Squares Generative Adversarial Networks,
        with labels 0 and 1; Lim & Ye (2017), Geometric GAN, for the hinge.

    >>> fake_logits = torch.tensor([-4.0])
    >>> GANLoss("minimax").generator(fake_logits), GANLoss().generator(fake_logits)
    (tensor(-0.0181), tensor(4.0181))
    """

    def __init__(self, mode: GANMode = "non_saturating") -> None:
        super().__init__()
        self.mode: GANMode = one_of("mode", mode, get_args(GANMode))

    @in_float32
    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """The loss of telling real from fake."""
        floating(real_logits=real_logits, fake_logits=fake_logits)
        not_empty(real_logits=real_logits, fake_logits=fake_logits)
        if real_logits.dim() != fake_logits.dim() or real_logits.shape[1:] != fake_logits.shape[1:]:
            raise ValueError(
                "real_logits and fake_logits may differ in the number of examples only, got "
                f"shapes {tuple(real_logits.shape)} and {tuple(fake_logits.shape)}"
            )
        if self.mode == "wasserstein":
            return fake_logits.mean() - real_logits.mean()
        if self.mode == "least_squares":
            return 0.5 * ((real_logits - 1) ** 2).mean() + 0.5 * (fake_logits**2).mean()
        if self.mode == "hinge":
            return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
        return -F.logsigmoid(real_logits).mean() - F.logsigmoid(-fake_logits).mean()

    @in_float32
    def generator(self, fake_logits: Tensor) -> Tensor:
        """The loss of being told from real."""
        floating(fake_logits=fake_logits)
        not_empty(fake_logits=fake_logits)
        if self.mode == "minimax":
            return F.logsigmoid(-fake_logits).mean()
        if self.mode == "non_saturating":
            return -F.logsigmoid(fake_logits).mean()
        if self.mode == "least_squares":
            return 0.5 * ((fake_logits - 1) ** 2).mean()
        return -fake_logits.mean()

    def extra_repr(self) -> str:
        return f"mode={self.mode!r}"


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""What a critic pays for a slope other than 1, between real examples and generated ones.

    .. math::
        E_{\hat x} \bigl( \lVert \nabla_{\hat x} D(\hat x) \rVert_2 - 1 \bigr)^2 \qquad
        \hat x = u\, x_{real} + (1 - u)\, x_{fake} \qquad u \sim U(0, 1)

    One :math:`u` per example; the norm runs over all elements of an example. The result
    back-propagates into the critic's parameters, and not into ``real`` or ``fake``. Multiply it
    by its weight, 10 in the paper, and add it to the critic's loss.

    Args:
        critic: a function of a batch; it must treat its examples one by one (no batch norm).
        real, fake: batches of equal shape.
        generator: draws :math:`u`; give one for reproducible results.

    Shape:
        real, fake: :math:`(N, *)`. The critic's result: any. Result: scalar.

    Raises:
        ValueError: the shapes differ, the batch is empty, or the critic's result has no gradient.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        Two-sided: slopes below 1 cost as well. Where the slope is 0 the penalty is 1 and its
        gradient 0, not NaN.

    Source:
        Gulrajani et al. (2017), Improved Training of Wasserstein GANs, Eq. (3) and Algorithm 1.

    >>> critic = lambda x: 3 * x.flatten(1).sum(1)
    >>> gradient_penalty(critic, torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2))
    tensor(25.)
    """
    floating(real=real, fake=fake)
    same_shape(real=real, fake=fake)
    not_empty(real=real)
    u = torch.rand(
        (len(real), *[1] * (real.dim() - 1)),
        generator=generator,
        device=real.device if generator is None else generator.device,
    ).to(real)
    between = torch.lerp(fake.detach(), real.detach(), u).requires_grad_()
    scores = critic(between)
    if not scores.requires_grad:
        raise ValueError(
            "critic must give scores with a gradient, got none: "
            "call it outside torch.no_grad() and without detach"
        )
    (slope,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    length = row_norm(slope.reshape(len(real), -1))
    return ((length - 1) ** 2).mean().to(real.dtype)


def row_norm(rows: Tensor) -> Tensor:
    """The Euclidean norm of each row, in float32 at least; no square overflows or vanishes."""
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    largest = rows.detach().abs().amax(1, keepdim=True)
    largest = largest.where(largest > 0, 1)
    length: Tensor = torch.linalg.vector_norm(rows / largest, dim=1)
    return largest.squeeze(1) * length


class VAELoss(Loss):
    r"""Minus the evidence lower bound: rebuild the input, and keep the code near its prior.

    .. math::
        \ell = \underbrace{-\log p(x \mid z)}_{\text{reconstruction}}
        + \beta \underbrace{\tfrac12 \sum_j \bigl( \mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2
        \bigr)}_{KL(N(\mu, \sigma^2)\, \Vert\, N(0, 1))}

    The gradient of the KL is :math:`\mu_j` on the mean and :math:`\tfrac12 (\sigma_j^2 - 1)` on the
    log-variance. A large :math:`\beta` makes ignoring the input the cheaper way: the posterior
    collapses.

    Args:
        beta: the weight of the KL term, ≥ 0; 1 gives the bound.
        reconstruction: "bernoulli" for pixels in [0, 1]: ``decoded`` are logits, and the term is
            the summed binary cross-entropy; "gaussian" for real values: ``decoded`` is the mean,
            the variance is 1, and the term is half the summed squared error.
        reduction: "mean", "sum" or "none": the examples are what is reduced.

    Shape:
        decoded, x: :math:`(N, *)`, equal; mean, log_variance: :math:`(N, *)`, equal.
        Result: scalar; :math:`(N)` for "none".

    Range:
        :math:`[0, \infty)`, in nats.

    Raises:
        ValueError: ``beta`` is negative, ``reconstruction`` is unknown, shapes differ, the batch
            is empty, or ``x`` leaves [0, 1] with "bernoulli".
        TypeError: an argument is not a floating-point tensor.

    Convention:
        Both terms are sums over features and means over the batch. A mean over pixels beside a
        summed KL multiplies :math:`\beta` by the number of pixels. "gaussian" leaves out the
        constant :math:`\tfrac12 \log 2\pi` per feature. With grey pixels the Bernoulli term
        cannot reach 0: its floor is their entropy.

    Source:
        Kingma & Welling (2014), Auto-Encoding Variational Bayes, Eq. (3) and Appendix B;
        Higgins et al. (2017), beta-VAE, for the weight.

    >>> x, code = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5]])
    >>> VAELoss()(torch.zeros(1, 2), x, code, torch.zeros(1, 1))
    tensor(1.5113)
    """

    def __init__(
        self,
        beta: float = 1.0,
        reconstruction: Reconstruction = "bernoulli",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.beta = within("beta", beta, "[0, inf)")
        self.reconstruction: Reconstruction = one_of(
            "reconstruction", reconstruction, get_args(Reconstruction)
        )

    @in_float32
    def forward(self, decoded: Tensor, x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        reconstruction, kl = self.terms(decoded, x, mean, log_variance)
        return reconstruction + self.beta * kl

    def terms(
        self, decoded: Tensor, x: Tensor, mean: Tensor, log_variance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The reconstruction term and the KL divergence, reduced, before :math:`\\beta`."""
        floating(decoded=decoded, x=x, mean=mean, log_variance=log_variance)
        same_shape(decoded=decoded, x=x)
        same_shape(mean=mean, log_variance=log_variance)
        not_empty(decoded=decoded, mean=mean)
        if len(x) != len(mean):
            raise ValueError(
                f"x and mean must have one row per example, got {len(x)} and {len(mean)} rows"
            )
        return self.rebuilding(decoded, x), self.divergence(mean, log_variance)

    @in_float32
    def rebuilding(self, decoded: Tensor, x: Tensor) -> Tensor:
        """Minus the log-likelihood of x."""
        if self.reconstruction == "gaussian":
            errors = 0.5 * (decoded - x) ** 2
        else:
            probabilities("scale the data, or use reconstruction='gaussian'", x=x)
            errors = F.binary_cross_entropy_with_logits(decoded, x, reduction="none")
        return self.reduce(errors.reshape(len(x), -1).sum(1))

    @in_float32
    def divergence(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """The KL divergence from the standard normal."""
        each = 0.5 * (mean**2 + expm1_minus(log_variance))
        return self.reduce(each.reshape(len(mean), -1).sum(1))


def expm1_minus(x: Tensor) -> Tensor:
    """exp(x) - 1 - x; near 0, where the difference keeps no digits, from its series."""
    near = x.clamp(-0.1, 0.1)
    series = 1 + near / 6 * (1 + near / 7 * (1 + near / 8))
    series = 1 + near / 3 * (1 + near / 4 * (1 + near / 5 * series))
    return torch.where(x.abs() < 0.1, 0.5 * near**2 * series, torch.expm1(x) - x)
