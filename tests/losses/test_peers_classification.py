"""Focal losses against MONAI and kornia (the `peers` extra), whose means divide by other counts."""

import kornia.losses
import pytest
import torch
from losses.tables.classification import answers, pixels
from monai.losses import FocalLoss as MonaiFocal
from torch.testing import assert_close

import course_losses as cl


def drawn(inputs) -> tuple[torch.Tensor, ...]:
    return inputs(torch.Generator().manual_seed(4))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_multiclass_focal_with_ignored_pixels_against_kornia(gamma):
    logits, target = drawn(pixels)
    weight = torch.tensor([0.5, 2.0, 1.0, 4.0], dtype=torch.float64)
    expected = kornia.losses.focal_loss(
        logits, target, alpha=None, gamma=gamma, reduction="sum", weight=weight, ignore_index=-100
    )
    assert_close(cl.FocalLoss(gamma, weight, reduction="sum")(logits, target), expected)


def test_multiclass_focal_against_monai():
    logits, target = drawn(pixels)
    logits, target = logits.float(), target.clamp(min=0)
    peer = MonaiFocal(gamma=1.5, use_softmax=True, to_onehot_y=True)
    assert_close(cl.FocalLoss(1.5)(logits, target) / 4, peer(logits, target[:, None]))


@pytest.mark.parametrize("alpha", [0.25, 0.7])
def test_binary_focal(alpha):
    logits, target = drawn(answers)
    expected = kornia.losses.binary_focal_loss_with_logits(
        logits, target, alpha=alpha, gamma=2.0, reduction="sum"
    )
    assert_close(cl.BinaryFocalLoss(alpha, reduction="sum")(logits, target), expected)
    peer = MonaiFocal(gamma=1.5, alpha=alpha)
    ours = cl.BinaryFocalLoss(alpha, 1.5)(logits.float(), target.float())
    assert_close(ours, peer(logits.float(), target.float()))
