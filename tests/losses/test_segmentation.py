"""Segmentation losses: fractions by hand, pixel loops, and the sizes at which sums go wrong."""

import math
from fractions import Fraction as Q

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

import course_losses as cl

BINARY = [cl.DiceLoss, cl.JaccardLoss]


def exact(value: Q | float) -> torch.Tensor:
    return torch.tensor(float(value), dtype=torch.float64)


# ---------------------------------------------------------------- values worked out by hand

# Example 0: overlap 1 1/2, sizes 2 and 2. Example 1: overlap 1/4, sizes 1 1/4 and 1.
PROBS = torch.tensor([[1.0, 0.5, 0.5, 0.0], [0.25, 0.5, 0.0, 0.5]], dtype=torch.float64)
MASK = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0]])


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (cl.DiceLoss(smooth=0), 1 - Q(7, 2) / Q(25, 4)),
        (cl.DiceLoss(), 1 - Q(9, 2) / Q(29, 4)),
        (cl.DiceLoss(smooth=0.5), 1 - Q(4) / Q(27, 4)),
        (cl.JaccardLoss(smooth=0), 1 - Q(7, 4) / Q(9, 2)),
        (cl.JaccardLoss(), 1 - Q(11, 4) / Q(11, 2)),
        (cl.DiceLoss(smooth=0, over="example"), (Q(1, 4) + Q(7, 9)) / 2),
        (cl.DiceLoss(over="example"), (Q(1, 5) + Q(7, 13)) / 2),
        (cl.DiceLoss(over="example", reduction="sum"), Q(1, 5) + Q(7, 13)),
        (cl.JaccardLoss(smooth=0, over="example"), (Q(2, 5) + Q(7, 8)) / 2),
        (cl.JaccardLoss(over="example", reduction="sum"), 1 - Q(5, 2) / Q(7, 2) + Q(7, 12)),
    ],
    ids=str,
)
def test_value_by_hand(loss, expected):
    assert_close(loss(PROBS, MASK), exact(expected))


@pytest.mark.parametrize("loss", BINARY)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_over_the_batch_there_is_one_score_whatever_the_reduction(loss, reduction):
    assert_close(loss(reduction=reduction)(PROBS, MASK), loss()(PROBS, MASK))


@pytest.mark.parametrize("loss", BINARY)
def test_over_examples_each_is_a_batch_of_its_own(loss):
    singles = torch.stack([loss()(p[None], t[None]) for p, t in zip(PROBS, MASK, strict=True)])
    assert_close(loss(over="example", reduction="none")(PROBS, MASK), singles)


def test_a_missed_small_object_shows_per_example_and_hardly_in_the_batch():
    target = torch.zeros(2, 1, 64, 64)
    target[0, :, :32] = 1
    target[1, :, :2, :2] = 1
    probs = target.clone()
    probs[1] = 0  # 2048 pixels found, 4 missed
    assert_close(cl.DiceLoss()(probs, target).double(), exact(1 - Q(4097, 4101)), rtol=1e-6, atol=0)
    per_example = cl.DiceLoss(over="example")(probs, target)
    assert_close(per_example.double(), exact(Q(4, 5) / 2), rtol=1e-6, atol=0)


@pytest.mark.parametrize("loss", BINARY)
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32], ids=str)
def test_every_kind_of_mask_means_the_same(loss, dtype):
    result = loss()(PROBS, MASK.to(dtype))
    assert result.dtype == torch.float64
    assert_close(result, loss()(PROBS, MASK.double()))


def test_multi_class_by_hand():
    # Logits of log-probabilities; pixels of classes 0, 1, 1 and one that is ignored.
    probs = torch.tensor(
        [[[0.5, 0.25, 0.25, 0.9], [0.25, 0.75, 0.5, 0.05], [0.25, 0.0, 0.25, 0.05]]],
        dtype=torch.float64,
    )
    target = torch.tensor([[0, 1, 1, -100]])
    expected = [1 - Q(2) / Q(3), 1 - Q(7, 2) / Q(9, 2), 1 - Q(1) / Q(3, 2)]
    loss = cl.MultiClassDiceLoss(reduction="none")(probs.log(), target)
    assert_close(loss, torch.stack([exact(e) for e in expected]))
    assert_close(cl.MultiClassDiceLoss()(probs.log(), target), exact(sum(expected) / 3))
    assert_close(cl.MultiClassDiceLoss(reduction="sum")(probs.log(), target), exact(sum(expected)))
    plain = cl.MultiClassDiceLoss(smooth=0, reduction="none")(probs.log(), target)
    expected = [1 - Q(1) / Q(2), 1 - Q(5, 2) / Q(7, 2), Q(1)]  # an absent class that is predicted
    assert_close(plain, torch.stack([exact(e) for e in expected]))


# ---------------------------------------------------------------- oracles


def naive_multi_class(logits, target, smooth, ignore_index):
    """One class, one pixel at a time."""
    logits = logits.movedim(1, -1).flatten(0, -2).tolist()
    losses = []
    for c in range(len(logits[0])):
        overlap = predicted = there = 0.0
        for scores, label in zip(logits, target.flatten().tolist(), strict=True):
            if label == ignore_index:
                continue
            p = math.exp(scores[c]) / sum(map(math.exp, scores))
            overlap += p * (label == c)
            predicted += p
            there += label == c
        score_of_nothing = predicted + there + smooth == 0
        score = 1 if score_of_nothing else (2 * overlap + smooth) / (predicted + there + smooth)
        losses.append(1 - score)
    return torch.tensor(losses, dtype=torch.float64)


@pytest.mark.parametrize(
    "shape", [(5, 3), (2, 4, 7), (3, 2, 4, 5), (2, 3, 3, 2, 4), (1, 3, 20, 31)]
)
@pytest.mark.parametrize("smooth", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("ignore_index", [-100, 255, 0])
def test_multi_class_against_a_pixel_loop(shape, smooth, ignore_index):
    generator = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    target = torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=generator)
    target.view(-1)[::5] = ignore_index
    loss = cl.MultiClassDiceLoss(smooth, ignore_index, reduction="none")(logits, target)
    assert_close(loss, naive_multi_class(logits, target, smooth, ignore_index))


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_binary_against_the_formula_in_float64(smooth):
    generator = torch.Generator().manual_seed(4)
    p, t = torch.rand(2, 3, 2, 6, 5, generator=generator, dtype=torch.float64)
    overlap, total = (p * t).sum(), p.sum() + t.sum()
    assert_close(cl.DiceLoss(smooth)(p, t), 1 - (2 * overlap + smooth) / (total + smooth))
    jaccard = 1 - (overlap + smooth) / (total - overlap + smooth)
    assert_close(cl.JaccardLoss(smooth)(p, t), jaccard)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_and_dice_is_what_it_says(reduction):
    generator = torch.Generator().manual_seed(6)
    logits = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, (2, 4, 5), generator=generator)
    target[0, 0] = -100
    pixels = F.cross_entropy(logits, target, reduction="none")
    dice = naive_multi_class(logits, target, 0.7, -100).mean()
    values = torch.where(target == -100, 0, 0.2 * pixels + 3 * dice)
    expected = {"none": values, "sum": values.sum(), "mean": values.sum() / 35}[reduction]
    assert_close(cl.CrossEntropyDiceLoss(0.2, 3, 0.7, reduction)(logits, target), expected)


def test_cross_entropy_and_dice_by_default_share_alike_with_a_smooth_of_one():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 0.0]], dtype=torch.float64)
    target = torch.tensor([0, 1, 1])
    dice = naive_multi_class(logits, target, 1.0, -100).mean()
    expected = (F.cross_entropy(logits, target) + dice) / 2
    assert_close(cl.CrossEntropyDiceLoss()(logits, target), expected)


# ---------------------------------------------------------------- identities


def test_jaccard_from_dice():
    dice, jaccard = cl.DiceLoss(smooth=0)(PROBS, MASK), cl.JaccardLoss(smooth=0)(PROBS, MASK)
    assert_close(jaccard, 2 * dice / (1 + dice))


def test_two_classes_agree_with_two_binary_masks():
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(3, 2, 4, 5, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 2, (3, 4, 5), generator=generator)
    binary = [cl.DiceLoss()(logits.softmax(1)[:, c], target == c) for c in (0, 1)]
    result = cl.MultiClassDiceLoss(reduction="none")(logits, target)
    assert_close(result, torch.stack(binary))


def test_only_the_differences_of_logits_count():
    logits, target = torch.randn(2, 3, 8, dtype=torch.float64), torch.randint(0, 3, (2, 8))
    shifted = cl.MultiClassDiceLoss()(logits + 100, target)
    assert_close(shifted, cl.MultiClassDiceLoss()(logits, target))


def test_ignored_pixels_get_no_gradient_and_change_nothing():
    logits = torch.randn(1, 3, 6, dtype=torch.float64)
    target = torch.tensor([[0, 1, -100, 2, -100, 1]])
    kept = target[0] >= 0
    full = logits.clone().requires_grad_()
    cl.MultiClassDiceLoss()(full, target).backward()
    part = logits[..., kept].clone().requires_grad_()
    loss = cl.MultiClassDiceLoss()(part, target[:, kept])
    loss.backward()
    assert_close(loss, cl.MultiClassDiceLoss()(logits, target))
    assert_close(full.grad[..., kept], part.grad)
    assert (full.grad[..., ~kept] == 0).all()


@pytest.mark.parametrize("loss", BINARY)
@pytest.mark.parametrize("dimensions", [1, 64])
def test_from_one_dimension_to_the_most_that_torch_has(loss, dimensions):
    shape = (4,) + (1,) * (dimensions - 1)
    assert_close(loss()(PROBS[0].reshape(shape), MASK[0].reshape(shape)), loss()(PROBS[0], MASK[0]))
    with pytest.raises(ValueError, match="probs must have 1 to 64 dimensions"):
        loss()(torch.zeros([1] * 65), torch.zeros([1] * 65))


def test_any_integer_of_64_bits_may_mark_what_is_ignored():
    assert cl.MultiClassDiceLoss(ignore_index=-(2**63)).ignore_index == -(2**63)
    with pytest.raises(ValueError, match="ignore_index must be at least -9223372036854775808"):
        cl.MultiClassDiceLoss(ignore_index=-(2**63) - 1)


# ---------------------------------------------------------------- nothing there


@pytest.mark.parametrize("loss", BINARY)
@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("over", ["batch", "example"])
def test_two_empty_masks_agree(loss, smooth, over):
    probs = torch.zeros(2, 1, 3, 3, requires_grad=True)
    result = loss(smooth, over)(probs, torch.zeros(2, 1, 3, 3))
    result.backward()
    assert result == 0
    assert probs.grad.isfinite().all()


def test_one_empty_example_among_others():
    probs = torch.tensor([[0.0, 0.0], [0.5, 0.0]], requires_grad=True)
    loss = cl.DiceLoss(smooth=0, over="example", reduction="none")
    result = loss(probs, torch.tensor([[0, 0], [1, 0]]))
    assert_close(result, torch.tensor([0.0, 1 / 3]))
    result.sum().backward()
    assert_close(probs.grad, torch.tensor([[0.0, 0.0], [-8 / 9, 4 / 9]]))


@pytest.mark.parametrize("loss", BINARY)
def test_an_empty_target_charges_false_positives(loss):
    probs, target = torch.zeros(1, 4), torch.zeros(1, 4)
    probs[0, 0] = 1
    assert_close(loss(smooth=1)(probs, target), torch.tensor(0.5))
    assert_close(loss(smooth=0)(probs, target), torch.tensor(1.0))


@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("make", [cl.MultiClassDiceLoss, cl.CrossEntropyDiceLoss])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_all_pixels_ignored_give_a_zero_that_back_propagates(make, smooth, reduction):
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = make(smooth=smooth, reduction=reduction)(logits, torch.full((2, 4, 4), -100))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


# ---------------------------------------------------------------- extremes


@pytest.mark.parametrize("loss", BINARY)
@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("miss", [1e-7, 1e-4, 0.01, 0.5, 0.99, 1.0])
def test_binary_value_and_gradient_keep_their_digits_in_float32(loss, smooth, miss):
    target = torch.zeros(1, 100, 100)
    target[:, :30, :30] = 1
    probs = torch.lerp(target, torch.full_like(target, miss / 10), miss)
    results = []
    for dtype in (torch.float32, torch.float64):
        p = probs.to(dtype).detach().requires_grad_()
        value = loss(smooth)(p, target)
        value.backward()
        results.append((value.double(), p.grad.double()))
    (value32, gradient32), (value64, gradient64) = results
    assert_close(value32, value64, rtol=1e-5, atol=0)
    assert_close(gradient32, gradient64, rtol=1e-5, atol=0)


@pytest.mark.parametrize("loss", BINARY)
def test_gradient_where_almost_nothing_overlaps_keeps_its_digits_in_float32(loss):
    target = torch.zeros(1, 100)
    target[:, :30] = 1
    gradients = []
    for dtype in (torch.float32, torch.float64):
        probs = torch.where(target == 1, 1e-6, 0.7).to(dtype).requires_grad_()
        loss(smooth=0)(probs, target).backward()
        gradients.append(probs.grad.double())
    assert_close(*gradients, rtol=1e-5, atol=0)


@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0, 30.0, 80.0])
@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("right", [True, False])
def test_multi_class_value_and_gradient_keep_their_digits_in_float32(scale, smooth, right):
    target = torch.arange(3 * 400).reshape(1, 30, 40) % 3
    logits = scale * F.one_hot(target if right else (target + 1) % 3, 3)
    logits = logits.movedim(-1, 1) + torch.linspace(0, 1, 3600).reshape(1, 3, 30, 40)
    results = []
    for dtype in (torch.float32, torch.float64):
        z = logits.to(dtype).detach().requires_grad_()
        value = cl.MultiClassDiceLoss(smooth)(z, target)
        value.backward()
        results.append((value.double(), z.grad.double()))
    (value32, gradient32), (value64, gradient64) = results
    assert_close(value32, value64, rtol=1e-5, atol=1e-37)
    assert_close(gradient32, gradient64, rtol=1e-4, atol=1e-10)


@pytest.mark.parametrize("right", [True, False])
def test_logits_of_ten_thousand(right):
    target = torch.arange(8).reshape(1, 8) % 2
    there = F.one_hot(target if right else 1 - target, 2).movedim(-1, 1)
    logits = (2e4 * there - 1e4).requires_grad_()
    loss = cl.MultiClassDiceLoss(reduction="none")(logits, target)
    loss.sum().backward()
    assert_close(loss, torch.full((2,), 0.0 if right else 1 - 1 / 9))
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_of_large_pictures(dtype):
    # 262 144 pixels: a float16 sum would be infinite, and a float16 score of 1 without gradient.
    probs = torch.full((1, 1, 512, 512), 0.75, dtype=dtype, requires_grad=True)
    target = torch.zeros(1, 1, 512, 512, dtype=torch.bool)
    target[..., :256] = True
    loss = cl.DiceLoss(smooth=0)(probs, target)
    assert_close(loss, torch.tensor(0.4, dtype=dtype))
    logits = torch.zeros(1, 2, 512, 512, dtype=dtype, requires_grad=True)
    loss = cl.MultiClassDiceLoss(smooth=0)(logits, target[:, 0].long())
    assert_close(loss, torch.tensor(0.5, dtype=dtype))


@pytest.mark.parametrize("shape", [(1, 2, 1024, 1024), (1, 40, 160, 160)])
def test_long_sums_keep_their_digits(shape):
    logits = torch.linspace(0, 1, shape[1])[None, :, None, None].expand(shape)
    target = torch.zeros(shape[0], *shape[2:], dtype=torch.int64)
    loss = cl.MultiClassDiceLoss(smooth=0, reduction="none")
    assert_close(loss(logits, target).double(), loss(logits.double(), target), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32])
def test_small_integer_targets_mean_the_same(dtype):
    logits = torch.randn(1, 120, 7, dtype=torch.float64)
    target = torch.tensor([[0, 1, 117, 119, 5, 5, 119]])
    assert_close(
        cl.MultiClassDiceLoss()(logits, target.to(dtype)), cl.MultiClassDiceLoss()(logits, target)
    )


# ---------------------------------------------------------------- gradients


def test_gradient_by_hand():
    probs = PROBS.clone().requires_grad_()
    cl.DiceLoss(smooth=0)(probs, MASK).backward()
    score, total = Q(14, 25), Q(25, 4)
    expected = torch.where(MASK == 1, float((score - 2) / total), float(score / total))
    assert_close(probs.grad, expected.double())


def test_the_softmax_lets_dice_fade_on_confident_mistakes():
    target = torch.zeros(1, 4, dtype=torch.int64)
    sizes = []
    for scale in (1.0, 5.0, 20.0):
        logits = torch.tensor([-scale, scale])[None, :, None].repeat(1, 1, 4).requires_grad_()
        cl.MultiClassDiceLoss()(logits, target).backward()
        sizes.append(logits.grad.abs().max().item())
    assert sizes[0] > 100 * sizes[1] > 1e6 * sizes[2]
