"""One number out of several losses: fixed weights, learnt weights, balanced gradients."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from course_losses.checks import floating, not_empty, one_of, whole, within
from course_losses.loss import in_float32


def task_losses(losses: Tensor | Sequence[Tensor], num_tasks: int) -> Tensor:
    """The losses as one tensor of shape (num_tasks,)."""
    if not isinstance(losses, Tensor):
        if not isinstance(losses, list | tuple):
            raise TypeError(
                f"losses must be a list of scalar losses or a tensor, got {type(losses).__name__}"
            )
        for i, loss in enumerate(losses):
            floating(**{f"losses[{i}]": loss})
            if loss.dim():
                raise ValueError(
                    f"losses[{i}] must be one number, got shape {tuple(loss.shape)}: "
                    "take its mean first"
                )
        losses = torch.stack(list(losses)) if losses else torch.empty(0)
    floating(losses=losses)
    not_empty(losses=losses)
    if losses.shape != (num_tasks,):
        raise ValueError(
            f"losses must hold {num_tasks} losses, one per task, got shape {tuple(losses.shape)}"
        )
    return losses


class WeightedSum(nn.Module):
    r"""Several losses added with fixed weights: the baseline for every balancing method.

    .. math::
        \ell = \sum_i w_i L_i

    The gradient of each loss is scaled by its weight. What counts is the size of the gradients,
    not of the losses: equal losses can pull on shared parameters with very different strength.

    Args:
        weights: one weight per task, each >= 0.

    Shape:
        losses: a list of T scalars, or a tensor of shape (T,). Result: scalar.

    Raises:
        ValueError: a weight is negative, there is none, or the number of losses is another.
        TypeError: a loss is not a floating-point tensor.

    Source:
        Caruana (1997), Multitask Learning, with equal weights.

    >>> WeightedSum([1.0, 0.5])([torch.tensor(2.0), torch.tensor(8.0)])
    tensor(6.)
    """

    weights: Tensor

    def __init__(self, weights: Iterable[float]) -> None:
        super().__init__()
        given = weights.tolist() if isinstance(weights, Tensor) else list(weights)
        whole("the number of weights", len(given))
        checked = [within(f"weights[{i}]", w, "[0, inf)") for i, w in enumerate(given)]
        self.register_buffer("weights", torch.tensor(checked, dtype=torch.float64))

    @in_float32
    def forward(self, losses: Tensor | Sequence[Tensor]) -> Tensor:
        stacked = task_losses(losses, len(self.weights))
        return (self.weights.to(stacked) * stacked).sum()

    def extra_repr(self) -> str:
        return f"weights={self.weights.tolist()}"


class UncertaintyWeighting(nn.Module):
    r"""Weights learnt with the network: a task with a large loss is declared noisy and counts less.

    .. math::
        \ell = \sum_i a_i\, e^{-s_i} L_i + b_i\, s_i \qquad (a_i, b_i) = \begin{cases}
            (\tfrac12, \tfrac12) & \text{regression} \\ (1, \tfrac12) & \text{classification} \\
            (1, 1) & \text{kinds=None} \end{cases}

    :math:`s_i`, the parameter ``log_vars``, is the logarithm of the task's noise variance; 0 at
    first. Its gradient is :math:`b_i - a_i e^{-s_i} L_i`, 0 at :math:`s_i = \log (a_i L_i / b_i)`:
    :math:`\log L_i`, and :math:`\log 2 L_i` for classification. There every task contributes
    :math:`b_i / L_i` per unit of its loss, so the smallest loss gets the largest weight.

    Args:
        num_tasks: number of tasks, >= 1.
        kinds: "regression" or "classification" for each task, or None for
            :math:`e^{-s} L + s` throughout.

    Shape:
        losses: a list of ``num_tasks`` scalars, or a tensor of shape (num_tasks,). Result: scalar.

    Range:
        :math:`(-\infty, \infty)`: it falls below 0 when the losses are small, which is no bug.

    Raises:
        ValueError: the number of losses or of kinds is not ``num_tasks``, or a kind is unknown.
        TypeError: a loss is not a floating-point tensor.

    Convention:
        ``kinds=None`` is twice the regression form. The factors matter while training; at the
        optimum all forms weigh the tasks like :math:`1/L_i`. Losses must be positive: below 0
        the total has no minimum. ``log_vars`` must be given to the optimiser.

    Source:
        Kendall, Gal & Cipolla (2018), Multi-Task Learning Using Uncertainty to Weigh Losses for
        Scene Geometry and Semantics, §3.2, with the variance as :math:`e^s`.

    >>> weighting = UncertaintyWeighting(2, kinds=["regression", "classification"])
    >>> weighting([torch.tensor(4.0), torch.tensor(1.0)]).item()
    3.0
    """

    scale: Tensor
    penalty: Tensor

    def __init__(self, num_tasks: int, kinds: Sequence[str] | None = None) -> None:
        super().__init__()
        self.num_tasks = whole("num_tasks", num_tasks)
        self.kinds = None if kinds is None else list(kinds)
        if self.kinds is not None and len(self.kinds) != num_tasks:
            raise ValueError(f"kinds must hold {num_tasks} kinds, one per task, got {self.kinds}")
        factors = {None: (1.0, 1.0), "regression": (0.5, 0.5), "classification": (1.0, 0.5)}
        chosen = [
            factors[one_of(f"kinds[{i}]", kind, ("regression", "classification"))]
            for i, kind in enumerate(self.kinds or [])
        ] or [factors[None]] * num_tasks
        scale, penalty = torch.tensor(chosen).T
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("penalty", penalty, persistent=False)
        self.log_vars = nn.Parameter(torch.zeros(num_tasks))

    @in_float32
    def forward(self, losses: Tensor | Sequence[Tensor]) -> Tensor:
        stacked = task_losses(losses, self.num_tasks)
        s = self.log_vars.to(stacked)
        return (self.scale * torch.exp(-s) * stacked + self.penalty * s).sum()

    def extra_repr(self) -> str:
        return f"num_tasks={self.num_tasks}, kinds={self.kinds!r}"


class GradNorm(nn.Module):
    r"""Weights steered so that all tasks pull on the shared layer at a comparable strength, more
    strongly for those that lag behind.

    .. math::
        \ell = \sum_i w_i L_i \qquad
        L_\text{grad} = \sum_i \bigl| G_i - \bar G\, r_i^\alpha \bigr| \qquad
        G_i = \lVert \nabla_W\, w_i L_i \rVert \qquad
        r_i = \frac{L_i / L_i(0)}{\operatorname{mean}_j L_j / L_j(0)}

    :math:`\ell` trains the network, with the weights held fixed. :math:`L_\text{grad}` trains the
    weights only, with its target :math:`\bar G r_i^\alpha` held fixed: the gradient is
    :math:`\pm \lVert \nabla_W L_i \rVert`, so a weight rises where its task's pull is below
    target. Each update is one gradient step, after which the weights are scaled to sum T.

    Call ``update`` before ``backward``, since it needs the graph and leaves it in place:

    .. code-block:: python

        total = gradnorm(losses)
        gradnorm.update(losses, network.last_shared.weight)
        total.backward()
        optimizer.step()

    Args:
        num_tasks: number of tasks T, >= 1.
        alpha: how strongly a task that lags is favoured, >= 0; 0 makes all norms equal.
        lr: step size for the weights, > 0.

    Shape:
        losses: a list of T scalars, or a tensor of shape (T,). Result: scalar. ``weights``: (T,).

    Raises:
        ValueError: a hyperparameter is out of range, the number of losses is not T, a first loss is
            not positive, a later one negative, or a loss does not depend on the shared parameter.
        TypeError: a loss or the shared parameter is not a floating-point tensor.
        RuntimeError: (``update``) the graph of the losses has been freed.

    Convention:
        The first losses seen in training mode, by ``forward`` or ``update``, are :math:`L_i(0)`.
        A step may not carry a weight below 1e-6. No gradient of the network is touched. A lagging
        task has :math:`r_i > 1` and gets more weight; a published package inverts this.

    Source:
        Chen, Badrinarayanan, Lee & Rabinovich (2018), GradNorm, Eq. (1), (2) and Algorithm 1.

    >>> shared = nn.Parameter(torch.tensor([1.0]))
    >>> losses = [shared.sum(), 10 * shared.sum()]
    >>> gradnorm = GradNorm(2)
    >>> gradnorm.update(losses, shared)
    >>> gradnorm.weights
    tensor([1.1549, 0.8451])
    """

    weights: Tensor
    initial_losses: Tensor

    def __init__(self, num_tasks: int, alpha: float = 1.5, lr: float = 0.025) -> None:
        super().__init__()
        self.num_tasks = whole("num_tasks", num_tasks)
        self.alpha = within("alpha", alpha, "[0, inf)")
        self.lr = within("lr", lr, "(0, inf)")
        self.register_buffer("weights", torch.ones(num_tasks))
        self.register_buffer("initial_losses", torch.zeros(num_tasks))  # 0: not seen yet

    @in_float32
    def forward(self, losses: Tensor | Sequence[Tensor]) -> Tensor:
        stacked = task_losses(losses, self.num_tasks)
        if self.training:
            self.remember(stacked.detach())
        return (self.weights.to(stacked).clone() * stacked).sum()

    def update(self, losses: Tensor | Sequence[Tensor], shared_parameter: Tensor) -> None:
        """One step of the weights towards balanced gradients on the last shared parameter."""
        stacked = task_losses(losses, self.num_tasks)
        floating(shared_parameter=shared_parameter)
        now = stacked.detach().to(self.weights)
        if not (now >= 0).all():
            raise ValueError(f"losses must not be negative, got {now.tolist()}")
        self.remember(now)
        norms = torch.stack([self.pull(i, loss, shared_parameter) for i, loss in enumerate(losses)])
        norms = norms.to(self.weights)
        with torch.no_grad():
            ratios = now / self.initial_losses
            lag = ratios / ratios.mean().clamp(min=torch.finfo(ratios.dtype).tiny)
            pulls = self.weights * norms
            target = pulls.mean() * lag**self.alpha
            gradient = torch.sign(pulls - target) * norms
            stepped = (self.weights - self.lr * gradient).clamp(min=1e-6)
            self.weights.copy_(self.num_tasks * stepped / stepped.sum())

    def remember(self, losses: Tensor) -> None:
        seen = self.initial_losses > 0
        first = torch.where(seen, self.initial_losses, losses.to(self.initial_losses))
        if not torch.compiler.is_compiling() and not (first > 0).all():
            raise ValueError(
                f"losses must be positive when first seen, got {losses.tolist()}: "
                "progress is measured relative to them"
            )
        self.initial_losses.copy_(first)

    @staticmethod
    def pull(task: int, loss: Tensor, shared_parameter: Tensor) -> Tensor:
        """The norm of one loss's gradient; the graph stays, and no ``grad`` is written."""
        try:
            (gradient,) = torch.autograd.grad(
                loss, shared_parameter, retain_graph=True, allow_unused=True
            )
        except RuntimeError as error:
            raise RuntimeError(
                f"losses[{task}] has no graph to differentiate: call update() before backward(), "
                "or backward(retain_graph=True), on losses that were not detached"
            ) from error
        if gradient is None:
            raise ValueError(
                f"losses[{task}] does not depend on shared_parameter: "
                "pass a parameter that all tasks share, usually the last such layer's weight"
            )
        norm: Tensor = torch.linalg.vector_norm(gradient)
        return norm

    def extra_repr(self) -> str:
        return f"num_tasks={self.num_tasks}, alpha={self.alpha!r}, lr={self.lr!r}"
