"""Generative models: both sides of each adversarial game, and the autoencoder's bound."""

from functools import partial

import torch
from losses.case import Case, Refused
from torch import Tensor, nn

import course_losses as cl

MODES = ["minimax", "non_saturating", "wasserstein", "least_squares", "hinge"]


class Side(nn.Module):
    """One side of the game as a module of its own."""

    def __init__(self, side: str, mode: str) -> None:
        super().__init__()
        self.side, self.mode, self.game = side, mode, cl.GANLoss(mode)

    def forward(self, *logits: Tensor) -> Tensor:
        return getattr(self.game, self.side)(*logits)

    def extra_repr(self) -> str:
        return f"side={self.side!r}, mode={self.mode!r}"


def scores(generator: torch.Generator) -> tuple[Tensor, ...]:
    real, fake = 3 * torch.randn(2, 7, 2, generator=generator, dtype=torch.float64)
    return real, fake[:5]


def codes(generator: torch.Generator) -> tuple[Tensor, ...]:
    decoded = torch.randn(5, 2, 3, generator=generator, dtype=torch.float64)
    x = 0.1 + 0.8 * torch.rand(5, 2, 3, generator=generator, dtype=torch.float64)
    mean, log_variance = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
    return decoded, x, mean, log_variance


CASES = [
    *(
        Case(f"gan {mode}: discriminator", partial(Side, "discriminator", mode), scores, None)
        for mode in MODES
    ),
    *(
        Case(
            f"gan {mode}: generator",
            partial(Side, "generator", mode),
            lambda g: scores(g)[:1],
            None,
        )
        for mode in MODES
    ),
    Case("vae", partial(cl.VAELoss, beta=0.7), codes, (5,)),
    Case("vae gaussian", partial(cl.VAELoss, beta=4.0, reconstruction="gaussian"), codes, (5,)),
]

four, picture, code = torch.zeros(4), torch.full((4, 2, 3), 0.5), torch.zeros(4, 2)

REFUSED = [
    Refused(
        "gan: unknown mode",
        lambda: cl.GANLoss("vanilla"),
        ValueError,
        "mode must be one of 'minimax', .*, 'hinge', got 'vanilla'",
    ),
    *(
        row
        for mode in MODES
        for row in [
            Refused(
                f"gan {mode}: (4,) against (4, 1)",
                lambda mode=mode: cl.GANLoss(mode).discriminator(four, four[:, None]),
                ValueError,
                r"number of examples only, got shapes \(4,\) and \(4, 1\)",
            ),
            Refused(
                f"gan {mode}: patches of different sizes",
                lambda mode=mode: cl.GANLoss(mode).discriminator(picture, picture[..., :2]),
                ValueError,
                r"number of examples only, got shapes \(4, 2, 3\) and \(4, 2, 2\)",
            ),
            Refused(
                f"gan {mode}: no fake",
                lambda mode=mode: cl.GANLoss(mode).discriminator(four, four[:0]),
                ValueError,
                "fake_logits is empty",
            ),
            Refused(
                f"gan {mode}: integer logits",
                lambda mode=mode: cl.GANLoss(mode).generator(four.long()),
                TypeError,
                "fake_logits must be floating point",
            ),
            Refused(
                f"gan {mode}: integer real logits",
                lambda mode=mode: cl.GANLoss(mode).discriminator(four.long(), four),
                TypeError,
                "real_logits must be floating point",
            ),
        ]
    ),
    Refused(
        "gradient penalty: uneven batches",
        lambda: cl.gradient_penalty(torch.sum, picture, picture[:3]),
        ValueError,
        r"same shape, got real \(4, 2, 3\), fake \(3, 2, 3\)",
    ),
    Refused(
        "gradient penalty: nothing",
        lambda: cl.gradient_penalty(torch.sum, picture[:0], picture[:0]),
        ValueError,
        "real is empty",
    ),
    Refused(
        "gradient penalty: integers",
        lambda: cl.gradient_penalty(torch.sum, picture, picture.long()),
        TypeError,
        "fake must be floating point",
    ),
    Refused(
        "gradient penalty: detached critic",
        lambda: cl.gradient_penalty(lambda x: x.detach(), picture, picture),
        ValueError,
        "critic must give scores with a gradient, got none: call it outside torch.no_grad",
    ),
    Refused("vae: beta -1", lambda: cl.VAELoss(beta=-1), ValueError, r"beta must be in \[0, inf\)"),
    Refused(
        "vae: unknown reconstruction",
        lambda: cl.VAELoss(reconstruction="mse"),
        ValueError,
        "reconstruction must be one of 'bernoulli', 'gaussian', got 'mse'",
    ),
    Refused(
        "vae: 8-bit pixels",
        lambda: cl.VAELoss()(picture, 510 * picture, code, code),
        ValueError,
        "x must be in .0, 1., got values from 255 to 255: scale the data",
    ),
    Refused(
        "vae: flattened picture",
        lambda: cl.VAELoss()(picture, picture.flatten(1), code, code),
        ValueError,
        r"same shape, got decoded \(4, 2, 3\), x \(4, 6\)",
    ),
    Refused(
        "vae: log-variance of one value",
        lambda: cl.VAELoss()(picture, picture, code, code[:, :1]),
        ValueError,
        r"same shape, got mean \(4, 2\), log_variance \(4, 1\)",
    ),
    Refused(
        "vae: codes of another batch",
        lambda: cl.VAELoss()(picture, picture, code[:3], code[:3]),
        ValueError,
        "x and mean must have one row per example, got 4 and 3 rows",
    ),
    Refused(
        "vae: no latent dimension",
        lambda: cl.VAELoss()(picture, picture, code[:, :0], code[:, :0]),
        ValueError,
        "mean is empty",
    ),
    Refused(
        "vae: integer pixels",
        lambda: cl.VAELoss()(picture, picture.long(), code, code),
        TypeError,
        "x must be floating point",
    ),
    Refused(
        "vae: integer mean",
        lambda: cl.VAELoss()(picture, picture, code.long(), code),
        TypeError,
        "mean must be floating point",
    ),
]
