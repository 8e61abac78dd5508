"""The small feature network against pixels, on photographs that it never saw.

Two questions, asked of 96 grey patches of scikit-learn's china and flower pictures. Is a patch
nearer to itself shifted by one pixel than to itself blurred? And among seven distortions with one
and the same mean squared error, does the distance put them in the order that 1 - SSIM does?
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage, stats
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

import course_losses as cl

SIDE, MARGIN = 32, 8


def patches() -> Tensor:
    """96 x 48 x 48 grey, the inner 32 x 32 of which are compared; flat sky is left out."""
    random = np.random.default_rng(0)
    found = []
    for name in ("china.jpg", "flower.jpg"):
        grey = load_sample_image(name) / 255 @ [0.299, 0.587, 0.114]
        side = SIDE + 2 * MARGIN
        while len(found) < (48 if name == "china.jpg" else 96):
            top, left = (random.integers(size - side) for size in grey.shape)
            patch = grey[top : top + side, left : left + side]
            if patch.std() > 0.08:
                found.append(patch)
    return torch.tensor(np.stack(found)).float()


def inner(wide: Tensor | np.ndarray) -> Tensor:
    return torch.as_tensor(wide)[:, MARGIN:-MARGIN, MARGIN:-MARGIN].float()[:, None]


def blurred(x: Tensor, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(x.numpy(), (0, sigma, sigma))


def distortions(x: Tensor) -> list[Tensor]:
    """Seven directions away from the patch, each scaled to mean squared error 0.003."""
    random = torch.Generator().manual_seed(0)
    plain = inner(x)
    noise = torch.randn(x.shape, generator=random)
    ways = [
        inner(noise),
        inner(blurred(noise, 1.5)),
        inner(blurred(x, 1.5)) - plain,
        inner(x.roll(1, dims=2)) - plain,
        torch.ones_like(plain),
        plain - plain.mean((2, 3), keepdim=True),
        F.interpolate(F.avg_pool2d(plain, 4), scale_factor=4) - plain,
    ]
    sizes = [way.pow(2).mean((1, 2, 3), keepdim=True).sqrt() for way in ways]
    return [plain + 0.003**0.5 * way / size for way, size in zip(ways, sizes, strict=True)]


def one_minus_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Wang et al. (2004), Eq. (13), in windows of 7 x 7 pixels, for pixels in [0, 1]."""

    def mean(z: Tensor) -> Tensor:
        return F.avg_pool2d(z, 7, stride=1)

    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    ssim = (2 * ma * mb + c1) * (2 * vab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return 1 - ssim.mean((1, 2, 3))


def shift_is_nearer_than_blur(distance: nn.Module) -> float:
    x = patches()
    shifted, soft = inner(x.roll(1, dims=2)), inner(blurred(x, 1.5))
    return (distance(shifted, inner(x)) < distance(soft, inner(x))).float().mean().item()


def rank_agreement_with_ssim(distance: nn.Module) -> float:
    x = patches()
    plain = inner(x)
    ours = torch.stack([distance(d, plain) for d in distortions(x)], dim=1)
    theirs = torch.stack([one_minus_ssim(d, plain) for d in distortions(x)], dim=1)
    ranks = [stats.spearmanr(a, b).statistic for a, b in zip(ours, theirs, strict=True)]
    return float(np.mean(ranks))


class Pixels(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return cl.MSELoss(reduction="none")(a, b).mean((1, 2, 3))


def trained(*layers: str) -> nn.Module:
    return cl.PerceptualLoss(cl.patch_features(), layers, reduction="none")


def test_it_forgives_a_shift_that_pixels_do_not():
    pixels = shift_is_nearer_than_blur(Pixels())
    features = shift_is_nearer_than_blur(trained("relu2", "relu3"))
    assert pixels < 0.15
    assert features > 0.6


def test_it_ranks_distortions_of_equal_squared_error_as_ssim_does():
    distances = torch.stack([Pixels()(d, inner(patches())) for d in distortions(patches())])
    assert torch.allclose(distances, torch.tensor(0.003), rtol=1e-4)
    assert rank_agreement_with_ssim(trained("relu1", "relu2", "relu3")) > 0.4


def test_training_made_the_difference():
    torch.manual_seed(0)
    features = cl.patch_features()
    untrained = cl.perceptual.patch_network()
    layers = ("relu2", "relu3")
    for measure in (shift_is_nearer_than_blur, rank_agreement_with_ssim):
        random = cl.PerceptualLoss(untrained, layers, reduction="none")
        learned = cl.PerceptualLoss(features, layers, reduction="none")
        assert measure(learned) > measure(random) + 0.2


def test_every_channel_weighs_about_the_same():
    x = inner(patches())
    for name, module in cl.patch_features().named_children():
        x = module(x)
        if name.startswith("relu"):
            deviation = x.std((0, 2, 3))
            assert 0.5 < deviation.median() < 2
            assert deviation.max() < 6


def test_it_is_small_and_complete():
    features = cl.patch_features()
    assert sum(p.numel() for p in features.parameters()) == 160 + 4640 + 18496
    assert [n for n, _ in features.named_children() if "relu" in n] == ["relu1", "relu2", "relu3"]
    assert all(p.dtype == torch.float32 for p in features.parameters())
    with pytest.raises(RuntimeError, match="1 channels"):
        features(torch.zeros(1, 3, 8, 8))
