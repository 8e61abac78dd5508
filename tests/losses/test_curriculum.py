"""Curriculum: who is admitted when, what the mean divides by, and what back-propagates."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

import course_losses as cl

DIFFICULTY = torch.tensor([0.0, 0.2, 0.21, 0.5, 0.6, 0.79, 0.8, 1.0], dtype=torch.float64)
PRED = torch.arange(1.0, 9.0, dtype=torch.float64)  # the loss of example n is n + 1
TARGET = torch.zeros(8, dtype=torch.float64)


def at_epoch(epoch: int, **arguments: object) -> cl.CurriculumLoss:
    loss = cl.CurriculumLoss(nn.L1Loss(), **{"total_epochs": 5, **arguments})
    for _ in range(epoch):
        loss.step_epoch()
    return loss


@pytest.mark.parametrize(
    ("epoch", "start", "admitted"),
    [
        (0, 0.2, 2),  # difficulty <= 0.2, the border included
        (1, 0.2, 3),  # 0.4
        (2, 0.2, 5),  # 0.6
        (3, 0.2, 7),  # 0.8
        (4, 0.2, 8),
        (5, 0.2, 8),
        (40, 0.2, 8),
        (0, 0.0, 1),
        (2, 0.0, 4),
        (0, 1.0, 8),
    ],
)
def test_mean_over_the_admitted(epoch, start, admitted):
    loss = at_epoch(epoch, start=start)
    assert loss(PRED, TARGET, DIFFICULTY).item() == pytest.approx((admitted + 1) / 2)
    loss = at_epoch(epoch, start=start, reduction="sum")
    assert loss(PRED, TARGET, DIFFICULTY).item() == pytest.approx(admitted * (admitted + 1) / 2)
    loss = at_epoch(epoch, start=start, reduction="none")
    expected = PRED.where(torch.arange(8) < admitted, 0)
    assert_close(loss(PRED, TARGET, DIFFICULTY), expected)


@pytest.mark.parametrize("start", [0.0, 0.1, 0.2, 1 / 3, 0.7, 0.9])
@pytest.mark.parametrize("epochs", [1, 2, 7, 100])
def test_the_last_epoch_admits_everything(start, epochs):
    loss = at_epoch(epochs - 1, start=start, total_epochs=epochs)
    assert loss.epoch == epochs - 1
    assert loss(PRED, TARGET, DIFFICULTY).item() == pytest.approx(4.5)


def test_one_epoch_is_the_last():
    loss = at_epoch(0, total_epochs=1)
    assert loss(PRED, TARGET, DIFFICULTY).item() == pytest.approx(4.5)
    loss.step_epoch()
    assert loss.epoch == 0


def test_the_size_of_the_batch_does_not_matter():
    logits, target = torch.zeros(32, 10), torch.zeros(32, dtype=torch.long)
    for n in (8, 32):
        loss = cl.CurriculumLoss(nn.CrossEntropyLoss(), 100)
        value = loss(logits[:n], target[:n], torch.linspace(0, 1, n))
        assert value.item() == pytest.approx(math.log(10))


def test_nothing_admitted_back_propagates():
    pred = PRED.clone().requires_grad_()
    for reduction in ("mean", "sum"):
        loss = at_epoch(0, reduction=reduction)(pred, TARGET, DIFFICULTY * 0 + 0.9)
        assert loss.item() == 0
        loss.backward()
        assert pred.grad.tolist() == [0] * 8


def test_gradient_of_those_admitted_only():
    pred = PRED.clone().requires_grad_()
    at_epoch(1)(pred, TARGET, DIFFICULTY).backward()
    assert pred.grad.tolist() == pytest.approx([1 / 3] * 3 + [0] * 5)


@pytest.mark.parametrize("own", ["mean", "sum", "none"])
def test_reduction_of_the_base_does_not_matter(own):
    torch.manual_seed(0)
    logits, target = torch.randn(8, 3), torch.randint(0, 3, (8,))
    weight = torch.tensor([1.0, 2.0, 5.0])
    base = nn.CrossEntropyLoss(weight=weight, reduction=own)
    loss = cl.CurriculumLoss(base, 5)
    expected = F.cross_entropy(logits, target, weight, reduction="none")[:2].mean()
    assert_close(loss(logits, target, DIFFICULTY.float()), expected)
    assert base.reduction == own


def test_several_values_per_example_count_as_their_mean():
    pred, target = torch.randn(2, 8, 3, 2, dtype=torch.float64)
    expected = (pred - target).square().mean((1, 2))
    loss = cl.CurriculumLoss(cl.MSELoss(), 5)
    assert_close(loss(pred, target, DIFFICULTY), expected[:2].mean())
    logits, maps = torch.randn(8, 4, 3, dtype=torch.float64), torch.randint(0, 4, (8, 3))
    expected = F.cross_entropy(logits, maps, reduction="none").mean(1)
    loss = cl.CurriculumLoss(cl.CrossEntropyLoss(), 5, reduction="none")
    assert_close(loss(logits, maps, DIFFICULTY)[:2], expected[:2])


def test_default_start_is_a_fifth():
    assert cl.CurriculumLoss(nn.MSELoss(), 5).start == 0.2


def test_epoch_is_saved_with_the_state():
    loss = at_epoch(3)
    resumed = at_epoch(0)
    resumed.load_state_dict(copy.deepcopy(loss.state_dict()))
    assert resumed.epoch == 3
    assert resumed(PRED, TARGET, DIFFICULTY) == loss(PRED, TARGET, DIFFICULTY)


def test_border_in_float32():
    difficulty = torch.tensor([0.2, 0.4, 0.6, 0.8])
    for epoch in range(4):
        loss = at_epoch(epoch, reduction="none")
        assert (loss(torch.ones(4), torch.zeros(4), difficulty) > 0).sum() == epoch + 1
