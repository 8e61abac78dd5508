"""Train the small feature network of `course_losses.perceptual.patch_features` and store it.

The task: given a patch of 32 x 32 grey pixels, say which of sixteen pictures it was cut from. The
pictures come with scikit-image 0.26, and nothing is downloaded; their upper three quarters are
trained on, their lower quarters tell how well it went. About 30 seconds on one core:

    pip install scikit-image==0.26.0
    python -m tools.patch_features
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from skimage import color, data, util
from torch import Tensor, nn

import course_losses.perceptual as perceptual

PICTURES = [
    "astronaut",
    "chelsea",
    "coffee",
    "camera",
    "brick",
    "grass",
    "gravel",
    "rocket",
    "moon",
    "coins",
    "hubble_deep_field",
    "immunohistochemistry",
    "text",
    "page",
    "clock",
    "stereo_motorcycle",
]
STORED = Path(perceptual.__file__).parent / perceptual.PATCH_WEIGHTS
SIDE, BATCH, SEED = 32, 64, 0


def grey(name: str) -> Tensor:
    """A picture as (H, W) in [0, 1]; of the stereo pair, the left one."""
    picture = getattr(data, name)()
    picture = util.img_as_float(picture[0] if isinstance(picture, tuple) else picture)
    flat = color.rgb2gray(picture) if picture.ndim == 3 else picture
    return torch.from_numpy(np.ascontiguousarray(flat)).float()


class Patches:
    """Random patches of pictures, and the number of the picture that each was cut from."""

    def __init__(self, pictures: list[Tensor], seed: int) -> None:
        self.sizes = torch.tensor([picture.shape for picture in pictures])
        self.padded = torch.zeros(len(pictures), *self.sizes.amax(0).tolist())
        for page, picture in zip(self.padded, pictures, strict=True):
            page[: picture.shape[0], : picture.shape[1]] = picture
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(len(self.padded), (count,), generator=self.generator)
        room = self.sizes[labels] - SIDE + 1
        corner = (torch.rand(count, 2, generator=self.generator) * room).long()
        rows, columns = (corner[:, :, None] + torch.arange(SIDE)).unbind(1)
        cut = self.padded[labels[:, None, None], rows[:, :, None], columns[:, None, :]]
        return cut[:, None], labels

    def exposed(self, count: int) -> tuple[Tensor, Tensor]:
        """The same, each patch with an exposure of its own: brightness must not be the clue."""
        cut, labels = self.draw(count)
        gain, offset = torch.rand(2, count, 1, 1, 1, generator=self.generator)
        return (0.5 + gain) * (cut - 0.5) + 0.3 + 0.4 * offset, labels


def equalise(features: nn.Sequential, x: Tensor) -> None:
    """Scale every channel to unit deviation after its ReLU, and undo it in the next layer.

    ReLU and pooling commute with a positive factor, so what the network computes is unchanged; but
    each channel now weighs the same in a squared difference of feature maps.
    """
    with torch.no_grad():
        for index, module in enumerate(features):
            x = module(x)
            if isinstance(module, nn.ReLU):
                deviation = x.std((0, 2, 3))
                deviation = deviation.where(deviation > 0.01, 1)  # a dead channel stays as it is
                features[index - 1].weight /= deviation[:, None, None, None]
                features[index - 1].bias /= deviation
                x = x / deviation[:, None, None]
                if index + 2 < len(features):  # after the pool
                    features[index + 2].weight *= deviation[:, None, None]


def train(steps: int, seed: int = SEED) -> nn.Sequential:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    pictures = [grey(name) for name in PICTURES]
    upper = Patches([picture[: len(picture) * 3 // 4] for picture in pictures], seed)
    lower = Patches([picture[len(picture) * 3 // 4 :] for picture in pictures], seed)
    features = perceptual.patch_network()
    head = nn.Linear(64, len(PICTURES))
    optimizer = torch.optim.Adam([*features.parameters(), *head.parameters()], lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        x, labels = upper.exposed(BATCH)
        loss = F.cross_entropy(head(features(x).mean((2, 3))), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 300 == 0:
            print(f"step {step + 1}: loss {loss.item():.3f}")
    with torch.no_grad():
        x, labels = lower.draw(2000)
        right = (head(features(x).mean((2, 3))).argmax(1) == labels).float().mean()
    print(f"accuracy on the lower quarters, not trained on: {right:.3f} (chance {1 / 16:.3f})")
    equalise(features, upper.draw(1000)[0])
    return features


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--out", type=Path, default=STORED)
    options = parser.parse_args()
    network = train(options.steps)
    save_file({name: p.half() for name, p in network.state_dict().items()}, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1024:.0f} KiB")
