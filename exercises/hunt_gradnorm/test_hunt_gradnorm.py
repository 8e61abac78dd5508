"""The rubric of the hunt for GradNorm: weights that move, a target that does not, no trace left."""

import torch
from torch import Tensor

from course_losses.grading import Case, beside, criterion, mistake

NEEDS = ["gradnorm_weights_gradient"]


def tasks(random: torch.Generator, pulls: list[float], progress: list[float]) -> Case:
    """Losses that share one matrix, with given pulls w_i |dL_i/dW| and given L_i / L_i(0)."""
    order = torch.randperm(len(pulls), generator=random)
    noise = 0.98 + 0.04 * torch.rand(2, len(pulls), generator=random)
    weights = 0.4 + torch.rand(len(pulls), generator=random)
    weights = len(pulls) * weights / weights.sum()
    slopes = torch.randn(len(pulls), 2, 3, generator=random)
    norms = noise[0] * torch.tensor(pulls)[order] / weights
    slopes = slopes * (norms / slopes.flatten(1).norm(dim=1))[:, None, None]
    levels = 0.5 + 4 * torch.rand(len(pulls), generator=random)
    return Case(
        shared=torch.randn(2, 3, generator=random),
        slopes=slopes,
        levels=levels,
        initial=levels / (noise[1] * torch.tensor(progress)),
        weights=weights,
        alpha=0.0,
    )


def equal_aims(random: torch.Generator) -> Case:
    return tasks(random, [1.0, 3.0, 11.0], [0.3, 0.6, 0.9])


def mild(random: torch.Generator) -> Case:
    case = equal_aims(random)
    case.alpha = 0.12
    return case


def strong(random: torch.Generator) -> Case:
    case = equal_aims(random)
    case.alpha = 1.5
    return case


def one_lags(random: torch.Generator) -> Case:
    """All pull alike; one task has made little progress."""
    case = tasks(random, [4.0, 4.0, 4.0, 4.0], [0.3, 0.3, 0.3, 0.3])
    case.alpha = 1.5
    case.late = int(torch.randint(4, (), generator=random))
    case.initial[case.late] /= 3
    return case


def stepped(function, case):
    """The answer about losses that share a matrix, and what it leaves behind."""
    start = case["shared"]
    shared = start.clone().requires_grad_()
    weights = case["weights"].clone().requires_grad_()
    shared.grad = torch.full_like(shared, 2.0)
    losses = case["levels"] + (case["slopes"] * (shared - start)).sum((1, 2))
    answer = function(losses, case["initial"], weights, shared, case["alpha"])
    if answer is None or answer is ...:
        return None
    kept = shared.grad is not None and bool((shared.grad == 2).all())
    clean = weights.grad is None
    try:
        (case["weights"] * losses).sum().backward()
        alive = True
    except RuntimeError:
        alive = False
    return {"answer": answer, "kept": kept, "clean": clean, "alive": alive}


def asked(student, case):
    found = beside(student, stepped, student.gradnorm_weights_gradient, vars(case))
    if found is None:
        return None, None
    answer = found["answer"]
    pair = isinstance(answer, (tuple, list)) and len(answer) == 2
    assert pair, "Two things are asked for: the distance, and its gradient by the weights."
    return tuple(answer), found


@criterion("alpha = 0: all pulls are drawn to their mean", points=1, cases=equal_aims)
def test_equal(student, case):
    return asked(student, case)[0]


@criterion("alpha = 0.12: distance and gradient are right", points=1, cases=mild)
def test_mild(student, case):
    return asked(student, case)[0]


@criterion("alpha = 1.5: distance and gradient are right", points=1, cases=strong)
def test_strong(student, case):
    return asked(student, case)[0]


@criterion(
    "A task that lags behind is pushed up, the others down",
    points=1,
    cases=one_lags,
    after="test_equal",
)
def test_lagging(student, case):
    answer, _ = asked(student, case)
    if answer is None:
        return None
    gradient = answer[1]
    rises = gradient < 0 if isinstance(gradient, Tensor) else None
    return answer, rises


@criterion(
    "The model's grad stays as it was, and its backward still works",
    points=1,
    cases=mild,
    count=1,
    after="test_mild",
)
def test_no_trace(student, case):
    _, found = asked(student, case)
    if found is None:
        return None
    assert found["kept"], (
        "shared.grad has changed: backward() adds to it. Ask torch.autograd.grad, which writes "
        "nothing."
    )
    assert found["clean"], (
        "weights.grad was written. Return the gradient; torch.autograd.grad writes nothing."
    )
    assert found["alive"], (
        "The graph of the losses is freed: the model cannot be trained any more. Keep it with "
        "retain_graph=True or create_graph=True."
    )


def norms_of(losses: Tensor, shared: Tensor) -> Tensor:
    """How strongly each loss pulls before it is weighted."""
    slopes = [torch.autograd.grad(loss, shared, retain_graph=True)[0] for loss in losses]
    return torch.stack([slope.norm() for slope in slopes])


@mistake(
    "gradnorm_weights_gradient",
    "The gradient is 0, whatever the losses: the weights never move. Without create_graph=True a "
    "norm is a constant to autograd, and allow_unused with materialize_grads hides the error.",
)
def inert(right, losses, initial_losses, weights, shared, alpha):
    distance, gradient = right(losses, initial_losses, weights, shared, alpha)
    return distance, torch.zeros_like(gradient)


@mistake(
    "gradnorm_weights_gradient",
    "The target moves with the weights: part of the gradient comes from it. Hold it fixed: detach "
    "the whole target.",
)
def moving(right, losses, initial_losses, weights, shared, alpha):
    distance, gradient = right(losses, initial_losses, weights, shared, alpha)
    progress = (losses / initial_losses).detach()
    share = (gradient.sign() * (progress / progress.mean()) ** alpha).mean()
    return distance, gradient - norms_of(losses, shared) * share


@mistake(
    "gradnorm_weights_gradient",
    "The pulls are detached and the target is not. It is the other way round: the pulls follow the "
    "weights, the target stands still.",
)
def other_detached(right, losses, initial_losses, weights, shared, alpha):
    distance, gradient = right(losses, initial_losses, weights, shared, alpha)
    return distance, moving.spoil(right, losses, initial_losses, weights, shared, alpha)[
        1
    ] - gradient


@mistake(
    "gradnorm_weights_gradient",
    "The weight's gradient holds the task's loss as well: that is what descent on the total would "
    "give. Only the distance trains the weights.",
)
def polluted(right, losses, initial_losses, weights, shared, alpha):
    distance, gradient = right(losses, initial_losses, weights, shared, alpha)
    return distance, gradient + losses.detach()


@mistake(
    "gradnorm_weights_gradient",
    "This is the gradient of the total loss: every weight would fall. Asked is the distance's.",
)
def of_the_total(right, losses, initial_losses, weights, shared, alpha):
    distance, _ = right(losses, initial_losses, weights, shared, alpha)
    return distance, losses.detach()


@mistake(
    "gradnorm_weights_gradient",
    "The sign is turned round: descent would drive the pulls away from their target.",
)
def ascent(right, losses, initial_losses, weights, shared, alpha):
    distance, gradient = right(losses, initial_losses, weights, shared, alpha)
    return distance, -gradient


@mistake(
    "gradnorm_weights_gradient",
    "Only the signs are left. The gradient by a weight is as large as the norm of its task's "
    "unweighted gradient.",
)
def signs(right, losses, initial_losses, weights, shared, alpha):
    distance, gradient = right(losses, initial_losses, weights, shared, alpha)
    return distance, gradient.sign()


@mistake(
    "gradnorm_weights_gradient",
    "The gradient is that by the weights' logarithms. Asked is that by the weights.",
)
def logarithms(right, losses, initial_losses, weights, shared, alpha):
    distance, gradient = right(losses, initial_losses, weights, shared, alpha)
    return distance, gradient * weights.detach()


@mistake(
    "gradnorm_weights_gradient",
    "The pulls lack their weights: a weight can only move what it multiplies.",
)
def unweighted(right, losses, initial_losses, weights, shared, alpha):
    ones = torch.ones_like(weights).requires_grad_()
    distance, gradient = right(losses, initial_losses, ones, shared, alpha)
    return distance, torch.zeros_like(gradient)


@mistake(
    "gradnorm_weights_gradient",
    "The lag is turned round: who is behind gets a smaller target. It is the loss now over the "
    "first loss.",
)
def lag_inverted(right, losses, initial_losses, weights, shared, alpha):
    return right(losses, initial_losses, weights, shared, -alpha)


@mistake(
    "gradnorm_weights_gradient",
    "The ratio is the first loss over the loss now. Large must mean behind, so turn it round.",
)
def ratio_inverted(right, losses, initial_losses, weights, shared, alpha):
    now = losses.detach()
    return right(losses, now**2 / initial_losses, weights, shared, alpha)


@mistake(
    "gradnorm_weights_gradient",
    "The first losses play no part: progress is relative to them, or a large unit seems to lag.",
)
def no_initial(right, losses, initial_losses, weights, shared, alpha):
    return right(losses, torch.ones_like(initial_losses), weights, shared, alpha)


@mistake("gradnorm_weights_gradient", "alpha is not used: every task has the same target.")
def no_alpha(right, losses, initial_losses, weights, shared, alpha):
    return right(losses, initial_losses, weights, shared, 0.0)


@mistake("gradnorm_weights_gradient", "alpha is always 1, whatever is given.")
def alpha_one(right, losses, initial_losses, weights, shared, alpha):
    return right(losses, initial_losses, weights, shared, 1.0)


@mistake("gradnorm_weights_gradient", "Averaged over the tasks. The distance is their sum.")
def averaged(right, losses, initial_losses, weights, shared, alpha):
    distance, gradient = right(losses, initial_losses, weights, shared, alpha)
    return distance / len(losses), gradient / len(losses)
