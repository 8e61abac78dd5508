"""Classification losses: fractions by hand, loops, mpmath, torch, saturated logits, what fits."""

import math
from fractions import Fraction
from functools import partial

import mpmath
import pytest
import torch
import torch.nn.functional as F
from losses.tables.classification import classes, pixels, soft_answers
from torch.testing import assert_close

import course_losses as cl


def tensor(*values: float | Fraction) -> torch.Tensor:
    return torch.tensor([float(v) for v in values], dtype=torch.float64)


def drawn(inputs, seed: int = 3) -> tuple[torch.Tensor, ...]:
    return inputs(torch.Generator().manual_seed(seed))


def gradient(loss, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    logits = logits.clone().requires_grad_()
    loss(logits, target).backward()
    return logits.grad


# ---------------------------------------------------------------- values worked out by hand

ODDS = tensor(1, 3, Fraction(1, 4)).log()  # probabilities 1/2, 3/4, 1/5
YES = tensor(1, 0, 1)
P = tensor(Fraction(1, 2), Fraction(1, 4), Fraction(1, 4))  # three classes
Q = tensor(Fraction(1, 8), Fraction(1, 8), Fraction(3, 4))
LOG_P, TRUE = torch.stack([P, Q]).log(), torch.tensor([1, 0])  # -log: 2 log 2 and 3 log 2
WEIGHT = tensor(5, 2, 1)
LOG2 = math.log(2)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (cl.BCEWithLogitsLoss(), math.log(2 * 4 * 5) / 3),
        (cl.BCEWithLogitsLoss(reduction="sum"), math.log(2 * 4 * 5)),
        (cl.BCEWithLogitsLoss(pos_weight=2), math.log(2**2 * 4 * 5**2) / 3),
        (cl.BCEWithLogitsLoss(pos_weight=torch.tensor([[2.0]])), math.log(2**2 * 4 * 5**2) / 3),
        (
            cl.BinaryFocalLoss(),
            (LOG2 / 16 + 27 / 64 * 2 * LOG2 + 4 / 25 * math.log(5)) / 3,
        ),
        (
            cl.BinaryFocalLoss(alpha=0.9, gamma=1),
            (9 / 20 * LOG2 + 3 / 40 * 2 * LOG2 + 18 / 25 * math.log(5)) / 3,
        ),
        (
            cl.BinaryFocalLoss(alpha=None, gamma=1),
            (LOG2 / 2 + 3 / 4 * 2 * LOG2 + 4 / 5 * math.log(5)) / 3,
        ),
    ],
    ids=str,
)
def test_yes_or_no_by_hand(loss, expected):
    assert loss(ODDS, YES).item() == pytest.approx(expected, rel=1e-12)


def test_bce_by_hand():
    probs = tensor(Fraction(1, 2), Fraction(3, 4), Fraction(1, 5))
    assert cl.BCELoss()(probs, YES).item() == pytest.approx(math.log(40) / 3, rel=1e-12)
    soft = cl.BCELoss()(tensor(Fraction(1, 4)), tensor(Fraction(3, 4)))
    assert soft.item() == pytest.approx(2 * LOG2 - math.log(3) / 4, rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (cl.CrossEntropyLoss(), 5 / 2 * LOG2),
        (cl.CrossEntropyLoss(reduction="sum"), 5 * LOG2),
        (cl.CrossEntropyLoss(weight=WEIGHT), (2 * 2 + 5 * 3) / 7 * LOG2),
        (cl.CrossEntropyLoss(weight=WEIGHT, reduction="sum"), (2 * 2 + 5 * 3) * LOG2),
        (cl.CrossEntropyLoss(ignore_index=0), 2 * LOG2),
        (cl.CrossEntropyLoss(weight=WEIGHT, ignore_index=1), 3 * LOG2),
        (cl.FocalLoss(gamma=0), 5 / 2 * LOG2),
        (cl.FocalLoss(), (9 / 16 * 2 + 49 / 64 * 3) / 2 * LOG2),
        (cl.FocalLoss(gamma=1, weight=WEIGHT), (2 * 3 / 4 * 2 + 5 * 7 / 8 * 3) / 2 * LOG2),
        (cl.FocalLoss(gamma=1, weight=WEIGHT, ignore_index=0), 2 * 3 / 4 * 2 * LOG2),
        (cl.FocalLoss(gamma=1, ignore_index=1, reduction="sum"), 7 / 8 * 3 * LOG2),
        (cl.LabelSmoothingCrossEntropy(epsilon=0), 5 / 2 * LOG2),
        (
            cl.LabelSmoothingCrossEntropy(epsilon=0.3),  # over all three: 5 and 8 - log2(3) bits
            (0.7 * 5 + 0.1 * (5 + 8)) / 2 * LOG2 - 0.1 * math.log(3) / 2,
        ),
        (
            cl.LabelSmoothingCrossEntropy(epsilon=0.3, ignore_index=0),
            (0.7 * 2 + 0.1 * 5) * LOG2,
        ),
    ],
    ids=str,
)
def test_class_indices_by_hand(loss, expected):
    assert loss(LOG_P + 7, TRUE).item() == pytest.approx(expected, rel=1e-12)
    if isinstance(loss, cl.CrossEntropyLoss):
        nll = cl.NLLLoss(loss.weight, loss.ignore_index, loss.reduction)
        assert nll(LOG_P, TRUE).item() == pytest.approx(expected, rel=1e-12)


def test_five_classes_smoothed_by_the_formula_and_not_by_the_other_convention():
    z, t = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 1, 4])
    q = torch.full((4, 5), 0.1 / 5).scatter(1, t[:, None], 0.92)
    assert_close(cl.LabelSmoothingCrossEntropy(0.1)(z, t), -(q * z.log_softmax(1)).sum(1).mean())
    others = torch.full((4, 5), 0.1 / 4).scatter(1, t[:, None], 0.9)  # 0.1 over the other four
    expected = -(others * z.log_softmax(1)).sum(1).mean()
    assert_close(cl.LabelSmoothingCrossEntropy(0.125)(z, t), expected)


# ---------------------------------------------------------------- oracles


def naive_focal(logits, target, gamma, weight, ignore_index) -> tuple[list[float], int]:
    """Each position by itself: softmax in Python, weight outside the power."""
    values, kept = [], 0
    for z, t in zip(logits.movedim(1, -1).reshape(-1, 4).tolist(), target.flatten(), strict=True):
        if t == ignore_index:
            values.append(0.0)
            continue
        kept += 1
        p = math.exp(z[t]) / sum(math.exp(x) for x in z)
        values.append(weight[t] * (1 - p) ** gamma * -math.log(p))
    return values, kept


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("ignore_index", [-100, 2])
def test_focal_against_a_loop(gamma, ignore_index):
    logits, target = drawn(pixels)
    target[target == -100] = ignore_index
    weight = tensor(0.5, 3, 0, 2)
    values, kept = naive_focal(logits, target, gamma, weight.tolist(), ignore_index)
    make = partial(cl.FocalLoss, gamma, weight, ignore_index)
    assert_close(make("none")(logits, target), tensor(*values).reshape(target.shape))
    assert_close(make("sum")(logits, target), tensor(sum(values)).squeeze())
    assert_close(make("mean")(logits, target), tensor(sum(values) / kept).squeeze())


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, tensor(0.5, 3, 0, 2)], ids=["plain", "weighted"])
@pytest.mark.parametrize("ignore_index", [-100, 2])
@pytest.mark.parametrize("inputs", [classes, pixels])
def test_against_torch(reduction, weight, ignore_index, inputs):
    logits, target = drawn(inputs)
    target[target == -100] = ignore_index
    options = {"ignore_index": ignore_index, "reduction": reduction}
    assert_close(
        cl.CrossEntropyLoss(weight, **options)(logits, target),
        F.cross_entropy(logits, target, weight, **options),
    )
    assert_close(
        cl.NLLLoss(weight, **options)(logits.log_softmax(1), target),
        F.nll_loss(logits.log_softmax(1), target, weight, **options),
    )
    assert_close(
        cl.LabelSmoothingCrossEntropy(0.2, **options)(logits, target),
        F.cross_entropy(logits, target, label_smoothing=0.2, **options),
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_yes_or_no_against_torch(reduction):
    logits, target = drawn(soft_answers)
    for shape, weight in [((7, 2), tensor(0.5, 3)), ((7, 1, 2), tensor(2)[None])]:
        z, y = logits.reshape(shape), target.reshape(shape)
        assert_close(
            cl.BCEWithLogitsLoss(weight, reduction)(z, y),
            F.binary_cross_entropy_with_logits(z, y, pos_weight=weight, reduction=reduction),
        )
    assert_close(
        cl.BCELoss(reduction)(logits.sigmoid(), target),
        F.binary_cross_entropy_with_logits(logits, target, reduction=reduction),
    )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64], ids=str)
def test_every_integer_type_names_classes(dtype):
    logits, target = drawn(classes)
    for loss in (cl.CrossEntropyLoss(), cl.FocalLoss(), cl.LabelSmoothingCrossEntropy()):
        assert_close(loss(logits, target.to(dtype)), loss(logits, target))


# ---------------------------------------------------------------- identities


def test_focal_without_focus_is_cross_entropy():
    logits, target = drawn(classes)
    assert_close(cl.FocalLoss(gamma=0)(logits, target), cl.CrossEntropyLoss()(logits, target))
    z, y = drawn(soft_answers)
    y = y.round()
    bce = cl.BCEWithLogitsLoss()(z, y)
    assert_close(cl.BinaryFocalLoss(alpha=None, gamma=0)(z, y), bce)
    assert_close(cl.BinaryFocalLoss(alpha=0.5, gamma=0)(z, y), bce / 2)
    assert_close(
        cl.BinaryFocalLoss(alpha=1, gamma=0, reduction="none")(z, y)[y == 0].sum(), 0 * bce
    )


def test_two_classes_are_one_yes_or_no():
    z = torch.linspace(-4, 4, 9, dtype=torch.float64)
    y = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, 1])
    logits = torch.stack([torch.zeros_like(z), z], dim=1)
    assert_close(cl.CrossEntropyLoss()(logits, y), cl.BCEWithLogitsLoss()(z, y.double()))
    assert_close(cl.FocalLoss(gamma=1.5)(logits, y), cl.BinaryFocalLoss(None, 1.5)(z, y.double()))


def test_focal_weight_scales_and_does_not_focus():
    logits, target = drawn(classes)
    weight = tensor(5, 2, 1, 3)
    values = cl.FocalLoss(weight=weight, reduction="none")(logits, target)
    assert_close(values, weight[target] * cl.FocalLoss(reduction="none")(logits, target))


def test_focal_is_bounded_below_by_cross_entropy_minus_entropy():
    logits, target = drawn(classes)
    entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum(1)
    for gamma in (1, 2, 3):
        bound = cl.CrossEntropyLoss(reduction="none")(logits, target) - gamma * entropy
        assert (cl.FocalLoss(gamma, reduction="none")(logits, target) > bound).all()


def test_gradients_by_the_formulae_of_the_docstrings():
    z = LOG_P + 7
    p = z.softmax(1)
    one_hot = F.one_hot(TRUE, 3)
    assert_close(gradient(cl.CrossEntropyLoss(reduction="sum"), z, TRUE), p - one_hot)
    q = 0.7 * one_hot + 0.1
    assert_close(gradient(cl.LabelSmoothingCrossEntropy(0.3, reduction="sum"), z, TRUE), p - q)
    for gamma in (0.5, 2.0):
        focal = gradient(cl.FocalLoss(gamma, WEIGHT, reduction="sum"), z, TRUE)
        t = p.gather(1, TRUE[:, None]).squeeze(1)
        expected = -WEIGHT[TRUE] * (1 - t) ** gamma * (1 - t - gamma * t * t.log())
        assert_close(focal.gather(1, TRUE[:, None]).squeeze(1), expected)
    assert_close(gradient(cl.BCEWithLogitsLoss(reduction="sum"), ODDS, YES), ODDS.sigmoid() - YES)


def test_focal_asks_thirty_five_times_less_of_an_easy_example():
    logits = tensor(0.9, 0.1).log()[None]
    asked = [gradient(cl.FocalLoss(g), logits, torch.tensor([0]))[0, 0].item() for g in (0, 2)]
    assert asked[0] / asked[1] == pytest.approx(34.5, abs=0.1)


# ---------------------------------------------------------------- nothing to average

INDEXED = [
    cl.NLLLoss(),
    cl.CrossEntropyLoss(),
    cl.CrossEntropyLoss(weight=torch.tensor([0.5, 2.0])),
    cl.LabelSmoothingCrossEntropy(),
    cl.FocalLoss(),
    cl.FocalLoss(gamma=0.5, weight=torch.tensor([0.5, 2.0])),
]


@pytest.mark.parametrize("loss", INDEXED, ids=str)
@pytest.mark.parametrize("shape", [(3, 2), (3, 2, 4, 5)], ids=str)
def test_all_ignored_gives_a_zero_that_backpropagates(loss, shape):
    scores = torch.full(shape, -0.7, requires_grad=True)
    result = loss(scores, torch.full((shape[0], *shape[2:]), -100))
    result.backward()
    assert result.dim() == 0
    assert result.item() == 0
    assert_close(scores.grad, torch.zeros(shape))


@pytest.mark.parametrize("loss", [cl.NLLLoss, cl.CrossEntropyLoss, cl.FocalLoss])
def test_only_classes_without_weight_give_a_zero_that_backpropagates(loss):
    scores = torch.full((3, 2), -0.7, requires_grad=True)
    result = loss(weight=torch.tensor([1.0, 0.0]))(scores, torch.ones(3, dtype=torch.int64))
    result.backward()
    assert result.item() == 0
    assert_close(scores.grad, torch.zeros(3, 2))


@pytest.mark.parametrize("scale", [1e-3, 0.2, 1.0, 1e3])
def test_the_scale_of_the_weights_does_not_matter_to_the_mean(scale):
    logits, target = drawn(classes)
    weight = tensor(0.5, 3, 0, 2)
    for loss in (cl.CrossEntropyLoss, cl.NLLLoss):
        log_probs = logits.log_softmax(1)
        assert_close(loss(scale * weight)(log_probs, target), loss(weight)(log_probs, target))


@pytest.mark.parametrize("loss", INDEXED, ids=str)
def test_what_is_ignored_has_no_say(loss):
    scores = torch.tensor([[-0.1, -2.3], [-0.7, -0.7], [-3.0, -0.05]], requires_grad=True)
    result = loss(scores, torch.tensor([1, -100, 0]))
    result.backward()
    assert_close(result, loss(scores[[0, 2]], torch.tensor([1, 0])))
    assert_close(scores.grad[1], torch.zeros(2))
    assert (scores.grad[[0, 2]].abs().sum(1) > 0).all()


# ---------------------------------------------------------------- extremes


@pytest.mark.parametrize("size", [20.0, 89.0, 200.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_saturated_logits(size, dtype):
    wrong, right = torch.tensor([[-size, size]], dtype=dtype), torch.tensor([[size, -size]])
    t = torch.tensor([0])
    for loss in (
        cl.CrossEntropyLoss(),
        cl.FocalLoss(0.5),
        cl.FocalLoss(5.0),
        cl.LabelSmoothingCrossEntropy(0),
    ):
        assert loss(wrong, t).item() == pytest.approx(2 * size, rel=1e-3)
        assert_close(gradient(loss, wrong, t), torch.tensor([[-1.0, 1.0]], dtype=dtype))
        assert loss(right.to(dtype), t).item() == pytest.approx(0, abs=1e-8)
        assert_close(gradient(loss, right.to(dtype), t), torch.zeros(1, 2, dtype=dtype))
    z = torch.tensor([size], dtype=dtype)
    for loss in (cl.BCEWithLogitsLoss(), cl.BinaryFocalLoss(None, 0.5)):
        for y, sign in ((0.0, 1), (1.0, -1)):
            target = torch.tensor([y], dtype=dtype)
            assert loss(sign * z, target).item() == pytest.approx(size, rel=1e-6)
            assert_close(gradient(loss, sign * z, target), torch.tensor([sign], dtype=dtype))
            assert loss(-sign * z, target).item() == pytest.approx(0, abs=1e-6)
            assert_close(gradient(loss, -sign * z, target), torch.zeros(1, dtype=dtype))


def test_small_losses_survive_half_precision():
    z = torch.tensor([-5.0], dtype=torch.bfloat16)
    loss = cl.BCEWithLogitsLoss()(z, torch.zeros(1, dtype=torch.bfloat16))
    assert loss.item() == pytest.approx(0.006715, rel=1e-2)


@pytest.mark.parametrize(
    "loss", [cl.NLLLoss(), cl.CrossEntropyLoss(), cl.LabelSmoothingCrossEntropy(0), cl.FocalLoss(0)]
)
def test_the_mean_of_a_large_batch_does_not_overflow_half_precision(loss):
    scores = torch.tensor([[0.0, -100.0]], dtype=torch.float16).expand(1000, 2)
    assert loss(scores, torch.ones(1000, dtype=torch.int64)).item() == 100


def test_smoothing_saturated_logits_costs_their_distance():
    logits = torch.tensor([[1e4, -1e4, -1e4]])
    loss = cl.LabelSmoothingCrossEntropy(0.3)(logits, torch.tensor([0]))
    assert loss.item() == pytest.approx(0.2 * 2e4, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.9, 1.0, 2.0])
@pytest.mark.parametrize("z", [-1e4, -60.0, -20.0, -3.0, 0.0, 3.0, 20.0, 60.0, 1e4])
def test_binary_focal_in_float32_against_mpmath(gamma, z):
    """Value and slope to 1e-5 of their own size, down to the smallest that float32 holds."""
    logit = torch.tensor([z], requires_grad=True)
    loss = cl.BinaryFocalLoss(None, gamma)(logit, torch.zeros(1))
    loss.backward()
    with mpmath.workdps(60):
        p = 1 / (1 + mpmath.exp(-mpmath.mpf(z)))  # of the wrong answer
        log_right = -mpmath.log1p(mpmath.exp(mpmath.mpf(z)))
        value = float(-(p**gamma) * log_right)
        slope = float(p**gamma * (p - gamma * (1 - p) * log_right))
    assert loss.item() == pytest.approx(value, rel=1e-5, abs=1e-37)
    assert logit.grad.item() == pytest.approx(slope, rel=1e-5, abs=1e-37)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.9, 1.0, 2.0])
@pytest.mark.parametrize("gap", [-1e4, -60.0, -20.0, -3.0, 0.0, 3.0, 20.0, 60.0, 100.0, 1e4])
def test_focal_in_float32_against_mpmath(gamma, gap):
    """To 1e-5 of the cross-entropy's scale: below 1e-7 a float32 softmax is 1, and this is 0."""
    logits = torch.tensor([[gap, 0.0, -1.0]], requires_grad=True)
    loss = cl.FocalLoss(gamma)(logits, torch.tensor([0]))
    loss.backward()
    with mpmath.workdps(60):
        others = mpmath.exp(-mpmath.mpf(gap)) * (1 + mpmath.exp(-1))
        p, q = 1 / (1 + others), others / (1 + others)
        nll = mpmath.log1p(others)
        slope = -(q**gamma) * (q + gamma * p * nll)
    assert loss.item() == pytest.approx(float(q**gamma * nll), rel=1e-5, abs=1e-6)
    assert logits.grad[0, 0].item() == pytest.approx(float(slope), rel=1e-5, abs=1e-6)
    assert logits.grad.isfinite().all()


def test_focal_at_the_smallest_loss_that_float32_has():
    logits = torch.tensor([[16.0, 0.0]], requires_grad=True)
    nll = cl.CrossEntropyLoss()(logits, torch.tensor([0])).item()
    assert 0 < nll <= torch.finfo(torch.float32).eps
    for gamma in (0.5, 2.0):
        loss = cl.FocalLoss(gamma)
        assert loss(logits, torch.tensor([0])).item() == pytest.approx(nll ** (1 + gamma), rel=1e-5)
        slope = gradient(loss, logits.detach(), torch.tensor([0]))[0, 1].item()
        expected = (1 + gamma) * nll**gamma * math.exp(-16)
        assert slope == pytest.approx(expected, rel=1e-5, abs=0)


def test_log_probabilities_may_exceed_zero_by_rounding():
    scores = torch.tensor([[1e-3, -7.0]], dtype=torch.float64)
    assert cl.NLLLoss()(scores, torch.tensor([0])).item() == -1e-3


@pytest.mark.parametrize("gamma", [0.05, 0.5])
def test_curvature_of_focal_on_saturated_logits_is_finite(gamma):
    logits = torch.tensor([[100.0, 0.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(
        cl.FocalLoss(gamma)(logits, torch.tensor([0])), logits, create_graph=True
    )
    (curvature,) = torch.autograd.grad(slope.sum(), logits)
    assert_close(curvature, torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("prob", "target", "value", "slope"),
    [
        (0.0, 0.0, 0.0, 0.0),
        (1.0, 1.0, 0.0, 0.0),
        (0.0, 1.0, 100.0, -1e12),
        (1.0, 0.0, 100.0, 1e12),
        (1e-30, 1.0, 69.07755, -1e12),
        (1e-10, 1.0, 23.02585, -1e10),
        (1e-10, 0.0, 1e-10, 1.0),
        (0.0, 0.5, 50.0, -5e11),
    ],
)
def test_bce_at_the_ends_as_documented(prob, target, value, slope):
    probs = torch.tensor([prob], requires_grad=True)
    loss = cl.BCELoss()(probs, torch.tensor([target]))
    loss.backward()
    assert loss.item() == pytest.approx(value, rel=1e-6)
    assert probs.grad.item() == pytest.approx(slope, rel=1e-5)


def test_a_sigmoid_before_the_loss_is_the_wall_that_logits_do_not_have():
    logit = torch.tensor([20.0])
    assert gradient(lambda z, y: cl.BCELoss()(z.sigmoid(), y), logit, torch.zeros(1)).item() == 0
    assert gradient(cl.BCEWithLogitsLoss(), logit, torch.zeros(1)).item() == pytest.approx(1)


def test_a_masked_class_takes_no_part():
    logits = torch.tensor([[0.3, -math.inf, -0.4]], requires_grad=True)
    for loss in (cl.CrossEntropyLoss(), cl.FocalLoss(0.5)):
        value = loss(logits, torch.tensor([2]))
        assert_close(value, loss(logits[:, [0, 2]], torch.tensor([1])))
        assert torch.autograd.grad(value, logits)[0].isfinite().all()


def test_one_class_is_always_right():
    scores, target = torch.zeros(3, 1, requires_grad=True), torch.zeros(3, dtype=torch.int64)
    for loss in (cl.CrossEntropyLoss(), cl.FocalLoss(0.5), cl.LabelSmoothingCrossEntropy()):
        value = loss(scores, target)
        value.backward()
        assert value.item() == 0
    assert_close(scores.grad, torch.zeros(3, 1))


def test_log_probabilities_may_be_off_by_rounding():
    logits = torch.tensor([[1e4 + 0.3, 0.0]])
    log_probs = (logits - logits.logsumexp(1, keepdim=True)) + 5e-4
    assert cl.NLLLoss()(log_probs, torch.tensor([0])).item() == pytest.approx(-5e-4, rel=1e-2)


# ---------------------------------------------------------------- weights travel with the module


def test_weights_are_part_of_the_state_and_take_the_type_of_the_logits():
    weight = torch.tensor([0.5, 2.0, 1.0, 4.0])
    logits, target = drawn(classes)
    for loss in (cl.CrossEntropyLoss(weight), cl.NLLLoss(weight), cl.FocalLoss(weight=weight)):
        assert_close(loss.state_dict()["weight"], weight)
        assert loss(logits.log_softmax(1), target).dtype == torch.float64
    loss = cl.BCEWithLogitsLoss(pos_weight=3)
    assert_close(loss.state_dict()["pos_weight"], torch.tensor(3.0))
    assert not cl.CrossEntropyLoss().state_dict()


# ---------------------------------------------------------------- what each fits


def fitted(loss, positives: float) -> float:
    """The probability that one logit for a whole batch ends at, by bisection of the slope."""
    y = (torch.arange(1000) < 1000 * positives).double()
    low, high = -20.0, 20.0
    for _ in range(60):
        z = torch.tensor((low + high) / 2, dtype=torch.float64, requires_grad=True)
        loss(z.expand_as(y), y).backward()
        low, high = (low, z.item()) if z.grad > 0 else (z.item(), high)
    return torch.tensor(low).sigmoid().item()


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (cl.BCEWithLogitsLoss(), 0.05),
        (cl.BCEWithLogitsLoss(pos_weight=19), 0.5),
        (cl.BCEWithLogitsLoss(pos_weight=5), 0.25 / 1.2),
        (cl.BinaryFocalLoss(alpha=None), 0.25),
        (cl.BinaryFocalLoss(alpha=None, gamma=5), 0.371),
        (cl.BinaryFocalLoss(), 0.182),
        (cl.BinaryFocalLoss(alpha=0.5, gamma=0), 0.05),
    ],
    ids=str,
)
def test_probability_fitted_to_one_positive_in_twenty(loss, expected):
    assert fitted(loss, 0.05) == pytest.approx(expected, abs=1e-3)


def test_smoothing_stops_where_cross_entropy_goes_on():
    logits = torch.tensor([[9.0, 0.0, 0.0]], dtype=torch.float64)
    loss = cl.LabelSmoothingCrossEntropy(0.3)
    best = tensor(0.8, 0.1, 0.1).log()[None]
    assert_close(gradient(loss, best, torch.tensor([0])), torch.zeros(1, 3, dtype=torch.float64))
    assert gradient(loss, logits, torch.tensor([0]))[0, 0] > 0
    assert gradient(cl.CrossEntropyLoss(), logits, torch.tensor([0]))[0, 0] < 0
    entropy = -(best.exp() * best).sum().item()
    assert loss(best, torch.tensor([0])).item() == pytest.approx(entropy, rel=1e-12)


def test_a_second_softmax_puts_a_floor_under_cross_entropy():
    for c, floor in ((3, 0.5514), (10, 1.4612), (1000, 5.9095)):
        certain = torch.full((1, c), -1e4, dtype=torch.float64)
        certain[0, 0] = 1e4
        loss = cl.CrossEntropyLoss()
        assert loss(certain, torch.tensor([0])).item() == 0
        stuck = loss(certain.softmax(1), torch.tensor([0])).item()
        assert stuck == pytest.approx(floor, abs=5e-5)
        assert stuck == pytest.approx(math.log(1 + (c - 1) / math.e))


@pytest.mark.parametrize(
    "written",
    [
        "BCELoss(reduction='mean')",
        "BCEWithLogitsLoss(pos_weight=None, reduction='mean')",
        "NLLLoss(weight=None, ignore_index=-100, reduction='mean')",
        "CrossEntropyLoss(weight=None, ignore_index=-100, reduction='mean')",
        "LabelSmoothingCrossEntropy(epsilon=0.1, ignore_index=-100, reduction='mean')",
        "FocalLoss(gamma=2.0, weight=None, ignore_index=-100, reduction='mean')",
        "BinaryFocalLoss(alpha=0.25, gamma=2.0, reduction='mean')",
    ],
)
def test_defaults(written):
    assert repr(getattr(cl, written.partition("(")[0])()) == written


@pytest.mark.parametrize("index", [-1000, -(2**63), 255])
def test_any_integer_may_mark_what_to_ignore(index):
    logits, target = torch.randn(3, 4), torch.tensor([1, index, 2])
    kept = cl.CrossEntropyLoss()(logits[[0, 2]], target[[0, 2]])
    assert_close(cl.CrossEntropyLoss(ignore_index=index)(logits, target), kept)


def test_what_no_target_can_hold_marks_nothing():
    with pytest.raises(ValueError, match="ignore_index must be at least -9223372036854775808"):
        cl.CrossEntropyLoss(ignore_index=-(2**63) - 1)


def test_a_positive_weight_of_size_one_serves_a_whole_dimension():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 2, 3, generator=generator)
    target = torch.randint(2, (5, 2, 3), generator=generator).float()
    weight = torch.tensor([[2.0], [5.0]])
    expected = cl.BCEWithLogitsLoss(weight.expand(2, 3).contiguous())(logits, target)
    assert_close(cl.BCEWithLogitsLoss(weight)(logits, target), expected)
    with pytest.raises(ValueError, match=r"got shape \(2, 2\)"):
        cl.BCEWithLogitsLoss(torch.ones(2, 2))(logits, target)
