"""Perceptual losses, over a small VGG and over the small network that the package brings."""

from functools import partial

import torch
from losses.case import Case, Refused
from torch import Tensor, nn

import course_losses as cl


def small_vgg() -> nn.Sequential:
    torch.manual_seed(0)
    return cl.vgg16_features(width=0.1).double()


def pictures(generator: torch.Generator, channels: int = 3) -> tuple[Tensor, ...]:
    pred, target = torch.rand(2, 3, channels, 8, 8, generator=generator, dtype=torch.float64)
    return pred, target


def over_vgg(loss: type[nn.Module], **arguments: object) -> nn.Module:
    layers = ("relu2_1", "relu1_2")
    return loss(
        small_vgg(), layers, [0.3, 2.0], mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), **arguments
    )


def over_patches(loss: type[nn.Module], **arguments: object) -> nn.Module:
    return loss(cl.patch_features().double(), ("relu1", "relu3"), **arguments)


# The target gets no gradient, so finite differences in it are left to test_perceptual.py, which
# checks those in the prediction.
CASES = [
    Case(f"{name} over {over.__name__[5:]}", partial(over, loss), inputs, (3,), False, False)
    for name, loss in {"perceptual": cl.PerceptualLoss, "style": cl.StyleLoss}.items()
    for over, inputs in [(over_vgg, pictures), (over_patches, partial(pictures, channels=1))]
]

image, grey = torch.rand(2, 3, 8, 8), torch.rand(2, 1, 8, 8)
state = small_vgg().state_dict()

REFUSED = [
    *(
        row
        for name, loss in {"perceptual": cl.PerceptualLoss, "style": cl.StyleLoss}.items()
        for row in [
            Refused(
                f"{name}: a whole network",
                lambda loss=loss: loss(nn.ModuleDict()),
                TypeError,
                "features must be an nn.Sequential, got ModuleDict: .* pass the part .features",
            ),
            Refused(
                f"{name}: unknown layer",
                lambda loss=loss: loss(small_vgg(), ("relu6_1",)),
                ValueError,
                "layers must name modules of features, got 'relu6_1': it has 31 modules, 0, 1, 2",
            ),
            Refused(
                f"{name}: layer beyond the end",
                lambda loss=loss: loss(small_vgg()[:8], ("relu1_2", "relu2_2")),
                ValueError,
                "layers must name modules of features, got 'relu2_2': it has 8 modules",
            ),
            Refused(
                f"{name}: one layer twice",
                lambda loss=loss: loss(small_vgg(), ("relu1_2", "3")),
                ValueError,
                r"at least one layer, each once, got \('relu1_2', '3'\)",
            ),
            Refused(
                f"{name}: no layer",
                lambda loss=loss: loss(small_vgg(), ()),
                ValueError,
                r"at least one layer, each once, got \(\)",
            ),
            Refused(
                f"{name}: two weights for three layers",
                lambda loss=loss: loss(small_vgg(), weights=[1, 2]),
                ValueError,
                "weights must hold one number per layer, got 2 for 3 layers",
            ),
            Refused(
                f"{name}: negative weight",
                lambda loss=loss: loss(small_vgg(), ("relu1_1",), weights=[-1]),
                ValueError,
                r"weights must be in \[0, inf\), got -1",
            ),
            Refused(
                f"{name}: std 0",
                lambda loss=loss: loss(small_vgg(), std=(0.2, 0.0, 0.2)),
                ValueError,
                r"std must be positive, got \(0.2, 0.0, 0.2\)",
            ),
            Refused(
                f"{name}: mean of two channels",
                lambda loss=loss: loss(small_vgg(), mean=(0.5, 0.5))(image, image),
                ValueError,
                "mean must hold one value per channel: 2 values for pictures of 3 channels",
            ),
            Refused(
                f"{name}: one picture without a batch",
                lambda loss=loss: loss(small_vgg())(image[0], image[0]),
                ValueError,
                r"pred must have 4 dimensions, got shape \(3, 8, 8\)",
            ),
            Refused(
                f"{name}: one target for two",
                lambda loss=loss: loss(small_vgg())(image, image[:1]),
                ValueError,
                r"same shape, got pred \(2, 3, 8, 8\), target \(1, 3, 8, 8\)",
            ),
            Refused(
                f"{name}: 8-bit target",
                lambda loss=loss: loss(small_vgg())(image, image.byte()),
                TypeError,
                "target must be floating point, got torch.uint8",
            ),
        ]
    ),
    Refused(
        "gram matrix of a vector",
        lambda: cl.gram_matrix(image[0, 0]),
        ValueError,
        r"maps must have shape \(N, C, ...\), got \(8, 8\)",
    ),
    Refused(
        "gram matrix of integers",
        lambda: cl.gram_matrix(image.long()),
        TypeError,
        "maps must be floating point",
    ),
    Refused(
        "vgg: width 0",
        lambda: cl.vgg16_features(width=0),
        ValueError,
        r"width must be in \(0, inf\), got 0",
    ),
    Refused(
        "vgg: weights of another width",
        lambda: cl.vgg16_features(state, width=0.2),
        ValueError,
        "weights do not fit a VGG16 of this width: size mismatch for 0.weight",
    ),
    Refused(
        "vgg: weights of another network",
        lambda: cl.vgg16_features({"conv1.weight": image}),
        ValueError,
        "weights do not fit a VGG16 of this width: Missing key",
    ),
    Refused(
        "vgg: no such file",
        lambda: cl.vgg16_features("imagenet1k.pth"),
        FileNotFoundError,
        "weights must be 'imagenet', a file or a state dict, and there is no file 'imagenet1k.pth'",
    ),
]
