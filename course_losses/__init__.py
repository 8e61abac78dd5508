"""Loss functions written to be read: each formula once in its docstring, once in `forward`."""

from course_losses.checking import (
    check_gradients,
    check_loss,
    gradient_flow,
    numerical_gradient,
    random_guess_loss,
)
from course_losses.classification import (
    BCELoss,
    BCEWithLogitsLoss,
    BinaryFocalLoss,
    CrossEntropyLoss,
    FocalLoss,
    LabelSmoothingCrossEntropy,
    NLLLoss,
)
from course_losses.loss import (
    Loss,
)
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
    "BCELoss",
    "BCEWithLogitsLoss",
    "BinaryFocalLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "FocalLoss",
    "GaussianNLLLoss",
    "HuberLoss",
    "JaccardLoss",
    "L1Loss",
    "LabelSmoothingCrossEntropy",
    "LogCoshLoss",
    "Loss",
    "MSELoss",
    "MultiClassDiceLoss",
    "NLLLoss",
    "QuantileLoss",
    "SmoothL1Loss",
    "check_gradients",
    "check_loss",
    "gradient_flow",
    "numerical_gradient",
    "random_guess_loss",
]
