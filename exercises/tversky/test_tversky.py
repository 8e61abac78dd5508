"""The rubric of the Tversky exercise: what is asked, and what each usual mistake answers.

Each criterion puts one question to the learner's `TverskyLoss`. The grader asks the solution the
same, and each mistake at the end of this page, and compares the answers.
"""

import torch
from torch import Tensor

from course_losses.grading import Case, changed_by, criterion, gradient, mistake

NEEDS = ["TverskyLoss"]


def masks(sizes: list[int], random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Predictions and masks of 6 x 6 pixels, an image for each number of foreground pixels."""
    order = torch.rand(len(sizes), 36, generator=random).argsort(dim=1)
    target = (order < torch.tensor(sizes).unsqueeze(1)).double()
    noise = torch.rand(len(sizes), 36, generator=random)
    pred = (0.5 * target + 0.6 * noise - 0.05).clamp(0.02, 0.98)
    shape = (len(sizes), 1, 6, 6)
    return pred.reshape(shape).requires_grad_(), target.reshape(shape)


def weights(random: torch.Generator) -> tuple[float, float]:
    """α and β that lie far apart and do not add up to 1."""
    low, high = torch.rand(2, generator=random).tolist()
    return round(0.1 + 0.2 * low, 2), round(0.6 + 0.9 * high, 2)


def one_image(random: torch.Generator) -> Case:
    alpha, beta = weights(random)
    pred, target = masks([14], random)
    return Case(pred=pred, target=target, alpha=alpha, beta=beta, smooth=1.0)


def uneven_batch(random: torch.Generator) -> Case:
    """A nearly empty mask beside a nearly full one: the batch's index is not the images' mean."""
    alpha, beta = weights(random)
    pred, target = masks([2, 11, 33], random)
    return Case(pred=pred, target=target, alpha=alpha, beta=beta, smooth=1.0)


def any_smooth(random: torch.Generator) -> Case:
    case = uneven_batch(random)
    case.smooth = round(2.0 + 8.0 * torch.rand((), generator=random).item(), 2)
    return case


def empty_mask(random: torch.Generator) -> Case:
    """No foreground, and none predicted: only `smooth` keeps 0 / 0 away."""
    case = one_image(random)
    case.pred, case.target = torch.zeros(2, 1, 6, 6), torch.zeros(2, 1, 6, 6)
    return case


@criterion("One image: the value follows the definition", points=3, cases=one_image)
def test_one_image(student, case):
    loss = student.TverskyLoss(alpha=case.alpha, beta=case.beta, smooth=case.smooth)
    return loss(case.pred, case.target)


@criterion("A batch: one index over all its pixels", points=1, cases=uneven_batch)
def test_batch(student, case):
    loss = student.TverskyLoss(alpha=case.alpha, beta=case.beta, smooth=case.smooth)
    return loss(case.pred, case.target)


@criterion("smooth is used as it is given", points=1, cases=any_smooth)
def test_smooth(student, case):
    loss = student.TverskyLoss(alpha=case.alpha, beta=case.beta, smooth=case.smooth)
    return loss(case.pred, case.target)


@criterion("The defaults are α = β = ½ and smooth = 1", points=1, cases=one_image)
def test_defaults(student, case):
    return student.TverskyLoss()(case.pred, case.target)


@criterion("The gradient that reaches pred is right", points=2, cases=uneven_batch)
def test_gradient(student, case):
    loss = student.TverskyLoss(alpha=case.alpha, beta=case.beta, smooth=case.smooth)
    return gradient(loss, case.pred, case.target)


@criterion(
    "An empty mask, predicted empty, costs nothing",
    points=1,
    cases=empty_mask,
    count=1,
    after="test_one_image",
)
def test_empty_mask(student, case):
    loss = student.TverskyLoss(alpha=case.alpha, beta=case.beta, smooth=case.smooth)
    return loss(case.pred, case.target)


@criterion(
    "The result is one number without dimensions, and the inputs stay as they were",
    points=1,
    cases=uneven_batch,
    count=1,
    after="test_one_image",
)
def test_manners(student, case):
    loss = student.TverskyLoss(alpha=case.alpha, beta=case.beta, smooth=case.smooth)
    value = loss(case.pred, case.target)
    assert isinstance(value, Tensor), "A Python number comes back; return the tensor itself."
    assert value.shape == (), f"The result has the shape {tuple(value.shape)}; one number has ()."
    changed = changed_by(loss, case.pred.detach(), case.target)
    assert not changed, "An input was changed in place; the caller still needs it."


@mistake("TverskyLoss", "The index itself comes back. The loss is 1 minus the index.")
def index_for_loss(right, pred, target):
    return 1 - right(pred, target)


@mistake("TverskyLoss", "α and β are swapped, or pred and target: α weighs the false positives.")
def swapped(right, pred, target):
    right.alpha, right.beta = right.beta, right.alpha
    return right(pred, target)


@mistake("TverskyLoss", "α and β are not used: this is the value for α = β = ½.")
def dice(right, pred, target):
    right.alpha = right.beta = 0.5
    return right(pred, target)


@mistake("TverskyLoss", "α = β = 1 whatever is asked: this is the Jaccard index.")
def jaccard(right, pred, target):
    right.alpha = right.beta = 1.0
    return right(pred, target)


@mistake(
    "TverskyLoss", "This is the mean over the images. One index is asked for, over the whole batch."
)
def mean_of_images(right, pred, target):
    return torch.stack([right(p, t) for p, t in zip(pred, target, strict=True)]).mean()


@mistake(
    "TverskyLoss", "This is the sum over the images. One index is asked for, over the whole batch."
)
def sum_of_images(right, pred, target):
    return torch.stack([right(p, t) for p, t in zip(pred, target, strict=True)]).sum()


@mistake("TverskyLoss", "One number per image comes back. One is asked for, over the whole batch.")
def one_per_image(right, pred, target):
    return torch.stack([right(p, t) for p, t in zip(pred, target, strict=True)])


@mistake(
    "TverskyLoss",
    "pred is thresholded: counts have no gradient. Use the probabilities as they are.",
)
def thresholded(right, pred, target):
    return right((pred > 0.5).to(pred), target)


@mistake("TverskyLoss", "A sigmoid is applied to pred, which holds probabilities already.")
def sigmoid_twice(right, pred, target):
    return right(pred.sigmoid(), target)


@mistake(
    "TverskyLoss", "No gradient arrives: the result was detached, by .item(), .detach() or no_grad."
)
def detached(right, pred, target):
    return right(pred.detach(), target)


@mistake("TverskyLoss", "smooth is missing: it belongs in the numerator and in the denominator.")
def no_smooth(right, pred, target):
    right.smooth = 0.0
    return right(pred, target)


@mistake("TverskyLoss", "smooth is always 1, whatever the constructor is given.")
def smooth_is_one(right, pred, target):
    right.smooth = 1.0
    return right(pred, target)


@mistake("TverskyLoss", "smooth is missing in the numerator.")
def smooth_below_only(right, pred, target):
    overlap = (pred * target).sum()
    return 1 - (1 - right(pred, target)) * overlap / (overlap + right.smooth)


@mistake("TverskyLoss", "smooth is missing in the denominator.")
def smooth_above_only(right, pred, target):
    overlap = (pred * target).sum()
    size = (overlap + right.smooth) / (1 - right(pred, target)) - right.smooth
    return 1 - (overlap + right.smooth) / size


@mistake("TverskyLoss", "Parentheses are missing: only smooth is divided, not tp + smooth.")
def only_smooth_divided(right, pred, target):
    overlap = (pred * target).sum()
    index = 1 - right(pred, target)
    return 1 - overlap + right.smooth * index / (overlap + right.smooth)


@mistake("TverskyLoss", "Parentheses are missing around the denominator: only tp divides.")
def only_overlap_divides(right, pred, target):
    top = (pred * target).sum() + right.smooth
    bottom = top / (1 - right(pred, target))
    return 1 - top / (top - right.smooth) + bottom - (top - right.smooth)


@mistake(
    "TverskyLoss",
    "FN counts the background. A false negative is a foreground pixel that pred misses.",
)
def misses_in_the_background(right, pred, target):
    top = (pred * target).sum() + right.smooth
    beta, right.beta = right.beta, 0.0
    bottom = top / (1 - right(pred, target))
    return 1 - top / (bottom + beta * ((1 - pred) * (1 - target)).sum())


@mistake(
    "TverskyLoss", "The sign is wrong: this is minus the index. The loss is 1 minus the index."
)
def negative_index(right, pred, target):
    return right(pred, target) - 1


@mistake(
    "TverskyLoss", "This is the logarithm of the index, negative. The loss is 1 minus the index."
)
def logarithm(right, pred, target):
    return -(1 - right(pred, target)).log()
