"""The calibration error beside torchmetrics, where no confidence is exactly 1."""

import pytest
import torch
from torch.testing import assert_close
from torchmetrics.functional.classification import multiclass_calibration_error

import course_losses as cl


@pytest.mark.parametrize("bins", [5, 15, 40])
def test_expected_calibration_error(bins):
    generator = torch.Generator().manual_seed(0)
    probs = (3 * torch.randn(200, 5, generator=generator)).softmax(1)
    target = torch.randint(0, 5, (200,), generator=generator)
    expected = multiclass_calibration_error(probs, target, num_classes=5, n_bins=bins, norm="l1")
    assert_close(cl.expected_calibration_error(probs, target, bins), expected)
