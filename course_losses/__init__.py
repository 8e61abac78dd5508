"""Loss functions written to be read: each formula once in its docstring, once in `forward`."""

from course_losses.loss import Loss
from course_losses.regression import (
    AsymmetricMSELoss,
    GaussianNLLLoss,
    HuberLoss,
    L1Loss,
    LogCoshLoss,
    MSELoss,
    QuantileLoss,
    SmoothL1Loss,
)

__all__ = [
    "AsymmetricMSELoss",
    "GaussianNLLLoss",
    "HuberLoss",
    "L1Loss",
    "LogCoshLoss",
    "Loss",
    "MSELoss",
    "QuantileLoss",
    "SmoothL1Loss",
]
