"""The same numbers as MONAI and kornia, where they mean the same."""

import kornia.losses
import monai.losses
import pytest
import torch
from torch.testing import assert_close

import course_losses as cl


def pictures(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(3, classes, 6, 5, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, classes, (3, 6, 5), generator=generator)


@pytest.mark.parametrize("jaccard", [False, True])
@pytest.mark.parametrize("over", ["batch", "example"])
def test_binary_against_monai(jaccard, over):
    probs, mask = pictures(4)[0].sigmoid()[:, :1], pictures(2)[1][:, None] == 1
    # MONAI's smoothing of the Jaccard index stands before its doubling of the overlap.
    smooth = 0.0 if jaccard else 0.7
    peer = monai.losses.DiceLoss(
        batch=over == "batch", jaccard=jaccard, smooth_nr=smooth, smooth_dr=smooth or 1e-12
    )
    ours = (cl.JaccardLoss if jaccard else cl.DiceLoss)(smooth, over)
    assert_close(ours(probs, mask), peer(probs, mask.double()))


@pytest.mark.parametrize("smooth", [0.3, 1.0])
def test_multi_class_against_monai(smooth):
    logits, target = pictures(4)
    peer = monai.losses.DiceLoss(
        softmax=True, to_onehot_y=True, batch=True, smooth_nr=smooth, smooth_dr=smooth
    )
    assert_close(cl.MultiClassDiceLoss(smooth)(logits, target), peer(logits, target[:, None]))


def test_cross_entropy_and_dice_against_monai():
    logits, target = pictures(4)
    peer = monai.losses.DiceCELoss(
        softmax=True,
        to_onehot_y=True,
        batch=True,
        smooth_nr=0.5,
        smooth_dr=0.5,
        lambda_dice=0.2,
        lambda_ce=3.0,
    )
    ours = cl.CrossEntropyDiceLoss(ce_weight=3.0, dice_weight=0.2, smooth=0.5)
    assert_close(ours(logits, target), peer(logits, target[:, None]))


def test_one_picture_with_ignored_pixels_against_kornia():
    logits, target = pictures(4)
    target[:, 0] = -100
    peer = kornia.losses.dice_loss(
        logits[:1], target[:1], average="macro", eps=1e-12, ignore_index=-100
    )
    assert_close(cl.MultiClassDiceLoss(smooth=0)(logits[:1], target[:1]), peer)
