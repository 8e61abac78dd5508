"""Box losses: fractions by hand, one pair at a time in Python, and boxes without area."""

import math
from fractions import Fraction as Q

import pytest
import torch
from torch.testing import assert_close

import course_losses as cl

LOSSES = [cl.IoULoss, cl.GIoULoss, cl.DIoULoss, cl.CIoULoss]


def rows(*boxes: tuple[float, ...], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(boxes, dtype=dtype)


# ---------------------------------------------------------------- values worked out by hand

# Overlap 2 of union 10, box around 4 x 4; centres (1 1/2, 1) and (3, 2), diagonal² 32.
OVERLAPPING = rows((0, 0, 3, 2)), rows((2, 0, 4, 4))
# Apart by 1 in x: union 8, box around 5 x 3; centres (1, 1) and (4, 1 1/2), diagonal² 34.
APART = rows((0, 0, 2, 2)), rows((3, 0, 5, 3))


@pytest.mark.parametrize(
    ("loss", "pair", "expected"),
    [
        (cl.IoULoss, OVERLAPPING, 1 - Q(2, 12)),
        (cl.GIoULoss, OVERLAPPING, 1 - Q(2, 12) + Q(4, 16)),
        (cl.DIoULoss, OVERLAPPING, 1 - Q(2, 12) + Q(13, 4) / 32),
        (cl.IoULoss, APART, Q(1)),
        (cl.GIoULoss, APART, 1 + Q(5, 15)),
        (cl.DIoULoss, APART, 1 + Q(37, 4) / 34),
    ],
)
def test_value_by_hand(loss, pair, expected):
    assert_close(loss()(*pair).item(), float(expected))


def test_ciou_by_hand():
    # A square beside one twice as wide: arctan 1 = pi/4, arctan 2.
    pred, target = rows((0, 0, 2, 2)), rows((0, 0, 4, 2))
    v = 4 / math.pi**2 * (math.atan(2) - math.pi / 4) ** 2
    expected = 0.5 + 1 / 20 + v**2 / (0.5 + v)
    assert_close(cl.CIoULoss()(pred, target).item(), expected)


def test_functions_by_hand():
    assert_close(cl.box_iou(*OVERLAPPING), rows(1 / 6))
    assert_close(cl.generalized_box_iou(*OVERLAPPING), rows(1 / 6 - 1 / 4))
    assert_close(cl.generalized_box_iou(*APART), rows(-1 / 3))


# ---------------------------------------------------------------- oracles


def naive(kind: str, a: list[float], b: list[float]) -> float:
    """The published formulas for one pair of boxes with area."""
    x1, y1, x2, y2 = a
    u1, v1, u2, v2 = b
    inter = max(0, min(x2, u2) - max(x1, u1)) * max(0, min(y2, v2) - max(y1, v1))
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - inter
    width, height = max(x2, u2) - min(x1, u1), max(y2, v2) - min(y1, v1)
    loss = 1 - inter / union
    if kind == "giou":
        loss += (width * height - union) / (width * height)
    if kind in ("diou", "ciou"):
        dx, dy = (x1 + x2) / 2 - (u1 + u2) / 2, (y1 + y2) / 2 - (v1 + v2) / 2
        loss += (dx**2 + dy**2) / (width**2 + height**2)
    if kind == "ciou":
        angle = math.atan((u2 - u1) / (v2 - v1)) - math.atan((x2 - x1) / (y2 - y1))
        v = 4 / math.pi**2 * angle**2
        loss += v**2 / (1 - inter / union + v) if v else 0
    return loss


def random_boxes(count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(8)
    corners, sizes = torch.rand(2, 2, count, 2, generator=generator, dtype=torch.float64)
    a, b = torch.cat([corners, corners + 0.01 + sizes], dim=2)
    return a, b


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_against_one_pair_at_a_time(kind, scale):
    a, b = (scale * boxes for boxes in random_boxes())
    loss = {"iou": cl.IoULoss, "giou": cl.GIoULoss, "diou": cl.DIoULoss, "ciou": cl.CIoULoss}[kind]
    expected = [naive(kind, *pair) for pair in zip(a.tolist(), b.tolist(), strict=True)]
    assert_close(loss(reduction="none")(a, b), torch.tensor(expected, dtype=torch.float64))
    single = loss(reduction="none")(a.float(), b.float())
    assert_close(single.tolist(), expected, rtol=1e-5, atol=1e-6)


def test_functions_are_one_minus_the_losses():
    a, b = random_boxes()
    assert_close(cl.box_iou(a, b), 1 - cl.IoULoss(reduction="none")(a, b))
    assert_close(cl.generalized_box_iou(a, b), 1 - cl.GIoULoss(reduction="none")(a, b))


# ---------------------------------------------------------------- identities


@pytest.mark.parametrize("loss", LOSSES)
def test_equal_boxes_cost_exactly_nothing(loss):
    boxes = torch.cat([random_boxes()[0], rows((0.5, 0.5, 0.501, 0.501), (0, 0, 1e3, 1e3))])
    for dtype in (torch.float32, torch.float64):
        assert (loss(reduction="none")(boxes.to(dtype), boxes.to(dtype)) == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_symmetric_and_the_same_anywhere(loss):
    a, b = random_boxes()
    value = loss(reduction="none")(a, b)
    assert_close(loss(reduction="none")(b, a), value)
    assert_close(loss(reduction="none")(a + 3, b + 3), value)
    flip = -a[:, [2, 1, 0, 3]] * rows((1, -1, 1, -1)), -b[:, [2, 1, 0, 3]] * rows((1, -1, 1, -1))
    assert_close(loss(reduction="none")(*flip), value)
    assert_close(loss(reduction="none")(a[:, [1, 0, 3, 2]], b[:, [1, 0, 3, 2]]), value)


def test_giou_is_at_most_iou_and_both_are_bounded():
    a, b = random_boxes()
    iou, giou = cl.box_iou(a, b), cl.generalized_box_iou(a, b)
    assert ((iou >= 0) & (iou <= 1) & (giou > -1) & (giou <= iou + 1e-12)).all()


def test_ciou_approaches_five_halves_and_never_gets_there():
    # A flat box and a tall one at the far corner: no overlap, distance near 1, v near 1, alpha 1/2.
    for size in (1e-1, 1e-2, 1e-3):
        flat = rows((0, 0, size, size**3))
        tall = rows((1 - size**3, 1 - size, 1, 1))
        assert 2.5 - 1.2 * size < cl.CIoULoss()(flat, tall) < 2.5
    generator = torch.Generator().manual_seed(5)
    corner = torch.randn(2, 20_000, 2, generator=generator, dtype=torch.float64)
    size = torch.exp(4 * torch.randn(2, 20_000, 2, generator=generator, dtype=torch.float64))
    a, b = torch.cat([corner, corner + size], dim=2)
    values = cl.CIoULoss(reduction="none")(a, b)
    assert ((values >= 0) & (values < 2.5)).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("order", [[2, 1, 0, 3], [0, 3, 2, 1], [2, 3, 0, 1]])
def test_swapped_corners_of_a_prediction_are_put_in_order(loss, order):
    a, b = random_boxes()
    assert_close(loss(reduction="none")(a[:, order], b), loss(reduction="none")(a, b))


def test_an_inverted_prediction_beside_its_target_is_not_perfect():
    # Taken as they stand, these corners give GIoU +1: areas 100, overlap 0, box around 100.
    loss = cl.GIoULoss()(rows((20, 20, 10, 10)), rows((0, 0, 10, 10)))
    assert_close(loss.item(), 1 + 200 / 400)


# ---------------------------------------------------------------- gradients


def test_boxes_apart_pull_in_all_but_iou():
    gradients = {}
    for loss in LOSSES:
        pred = APART[0].clone().requires_grad_()
        loss()(pred, APART[1]).backward()
        gradients[loss] = pred.grad
    assert (gradients.pop(cl.IoULoss) == 0).all()
    assert all(g[0, 2] < 0 for g in gradients.values())  # the near edge moves to the target


def test_giou_gradient_by_hand():
    # Apart: loss 2 - U/C with U = 2 w + 6, C = 3 (5 - x1), w = x2 - x1; at x1 = 0, x2 = 2.
    pred = APART[0].clone().requires_grad_()
    cl.GIoULoss()(pred, APART[1]).backward()
    d_x1 = -(Q(-2) * 15 - 10 * Q(-3)) / 225
    d_y2 = -Q(2, 15)
    assert_close(pred.grad[0, [0, 2, 3]], rows(float(d_x1), -2 / 15, float(d_y2)))


def test_ciou_gradient_with_alpha_held_fixed():
    a, b = random_boxes()
    pred = a.clone().requires_grad_()
    cl.CIoULoss(reduction="sum")(pred, b).backward()
    by_hand = a.clone().requires_grad_()
    width, height = (by_hand[:, 2:] - by_hand[:, :2]).unbind(1)
    wide, high = (b[:, 2:] - b[:, :2]).unbind(1)
    v = 4 / math.pi**2 * (torch.atan(wide / high) - torch.atan(width / height)) ** 2
    alpha = (v / (1 - cl.box_iou(a, b) + v)).detach()
    (cl.DIoULoss(reduction="sum")(by_hand, b) + (alpha * v).sum()).backward()
    assert_close(pred.grad, by_hand.grad)
    assert not torch.autograd.gradcheck(
        lambda x: cl.CIoULoss()(x, b[:3]), a[:3].clone().requires_grad_(), raise_exception=False
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_box_descent_arrives(loss):
    pred = rows((0.0, 0.1, 0.5, 0.4), (0.9, 0.8, 0.1, 0.3)).requires_grad_()
    target = rows((0.2, 0.2, 0.7, 0.9), (0.2, 0.5, 0.6, 0.9))
    for step in range(400):
        (slope,) = torch.autograd.grad(loss(reduction="sum")(pred, target), pred)
        pred = (pred - 0.01 * (1 - step / 400) * slope).detach().requires_grad_()
    assert (cl.IoULoss(reduction="none")(pred, target) < 0.05).all()


# ---------------------------------------------------------------- no boxes


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_no_box_costs_nothing(loss, reduction):
    pred = torch.zeros(0, 4, requires_grad=True)
    result = loss(reduction=reduction)(pred, torch.zeros(0, 4))
    assert result.shape == ((0,) if reduction == "none" else ())
    result.sum().backward()
    assert result.sum() == 0
    assert pred.grad.shape == (0, 4)


# ---------------------------------------------------------------- extremes

POINT, LINE, SQUARE = (0.2, 0.3, 0.2, 0.3), (0.2, 0.3, 0.8, 0.3), (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("a", "b", "iou", "giou"),
    [
        (POINT, POINT, 1, 1),
        (LINE, LINE, 1, 1),
        (LINE, SQUARE, 0, 0),
        (SQUARE, POINT, 0, 0),
        (POINT, LINE, 0, 0),  # the box around both is the line, without area
        (LINE, (0.2, 0.5, 0.8, 0.5), 0, -1),
        (POINT, (0.5, 0.5, 0.5, 0.5), 0, -1),
        (LINE, (0.1, 0.3, 0.4, 0.3), 0, 0),
        ((0.2, 0.3, 0.2, 0.9), (0.2, 0.5, 0.2, 0.9), 0, 0),
    ],
)
def test_boxes_without_area(a, b, iou, giou):
    for first, second in [(a, b), (b, a)]:
        pair = rows(first), rows(second)
        assert_close(cl.box_iou(*pair), rows(float(iou)))
        assert_close(cl.generalized_box_iou(*pair), rows(float(giou)))
        assert_close(cl.IoULoss()(*pair).item(), 1.0 - iou)
        assert_close(cl.GIoULoss()(*pair).item(), 1.0 - giou)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("pred", [POINT, LINE, SQUARE, (0.2, 0.1, 0.2, 0.9), (5, 5, 5, 5)])
@pytest.mark.parametrize("target", [POINT, LINE, SQUARE])
def test_gradients_are_finite_without_area(loss, pred, target):
    x = rows(pred, dtype=torch.float32).requires_grad_()
    value = loss()(x, rows(target, dtype=torch.float32))
    value.backward()
    assert 0 <= value <= 2.5
    assert x.grad.isfinite().all()


def test_a_prediction_of_zero_height_learns_to_grow():
    for loss in LOSSES:
        pred = rows((0.2, 0.4, 0.8, 0.4)).requires_grad_()
        loss()(pred, rows(SQUARE)).backward()
        assert pred.grad[0, 1] > 0 > pred.grad[0, 3]


def test_a_point_has_no_shape():
    pair = rows(POINT), rows(SQUARE)
    assert_close(cl.CIoULoss()(*pair), cl.DIoULoss()(*pair))
    for pair in [(rows(LINE), rows(SQUARE)), (rows(SQUARE), rows(LINE))]:
        assert cl.CIoULoss()(*pair) > cl.DIoULoss()(*pair)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("side", [1e-30, 1e-20, 1e-3, 1.0, 1e3, 1e20, 1e30])
def test_every_scale_gives_one_answer_in_float32(loss, side):
    pred, target = rows((0, 0, 2, 1), (0, 0, 2, 1)), rows((1, 0, 2, 3), (4, 5, 5, 7))
    scaled = (side * pred).float().requires_grad_()
    result = loss(reduction="none")(scaled, (side * target).float())
    assert_close(result.double(), loss(reduction="none")(pred, target), rtol=1e-5, atol=1e-6)
    result.sum().backward()
    x = pred.clone().requires_grad_()
    loss(reduction="sum")(x, target).backward()
    assert_close(scaled.grad.double() * side, x.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_tiny_box_beside_a_huge_one(loss):
    tiny = rows((0, 0, 1e-15, 2e-15), dtype=torch.float32)
    huge = rows((0, 0, 1e15, 2e15), dtype=torch.float32)
    # IoU 0, the huge box is the one around both, half its diagonal lies between the centres.
    expected = 1.25 if loss in (cl.DIoULoss, cl.CIoULoss) else 1.0
    for pair in [(tiny, huge), (huge, tiny)]:
        assert_close(loss()(*pair), torch.tensor(expected))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((0, 0, 1e-10, 1e-10), (1e25, 1e25, 1e25, 1e25)),  # a point, far away
        ((0, 0, 1e20, 1e-20), (5e19, 0, 2e20, 1e-20)),  # long and flat
    ],
)
def test_the_longer_side_around_both_is_the_unit(loss, a, b):
    for pair in [(rows(a), rows(b)), (rows(b), rows(a))]:
        single = loss()(*(boxes.float() for boxes in pair))
        assert_close(single.double(), loss()(*pair), rtol=1e-5, atol=0)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_small_box_far_from_the_origin(loss):
    corner = torch.tensor([1000.0, 500.0])
    pred = torch.cat([corner, corner + 2**-10])[None]
    target = pred + torch.tensor([[2**-11, 0, 2**-11, 0]])
    assert_close(loss()(pred, target).double(), loss()(pred.double(), target.double()))


@pytest.mark.parametrize("function", [cl.box_iou, cl.generalized_box_iou])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_functions_compute_half_precision_in_float32(function, dtype):
    a, b = (boxes.to(dtype) for boxes in random_boxes(5))
    assert function(a, b).dtype == dtype
    assert_close(function(a, b), function(a.float(), b.float()).to(dtype), rtol=0, atol=0)
