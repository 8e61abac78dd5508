"""Data that the course draws itself: nothing to download, the same on every machine."""

import torch
from torch import Tensor

from course_losses.checks import whole

__all__ = ["OBJECTS", "REGIONS", "driving_scenes"]

REGIONS = ("verge", "road", "sky", "object")
"""The classes of the segmentation map, in the order of their numbers."""

OBJECTS = ("car", "lorry", "pedestrian")
"""The classes of the object, in the order of their numbers."""

WIDTHS, HEIGHTS = (1.8, 2.5, 0.7), (1.5, 3.4, 1.8)  # of the objects, metres
PAINT = ((0.35, 0.5, 0.25), (0.4, 0.4, 0.42), (0.55, 0.7, 0.9), (0.5, 0.3, 0.3))  # of the regions
CAMERA, FAR = 1.5, 40.0  # metres above the road; what is farther away counts as this far
ROAD = 3.0  # metres from its middle to its edge


def driving_scenes(
    count: int, side: int = 32, generator: torch.Generator | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    r"""Small drawn views of a road, with three things to learn about each.

    A camera 1.5 m above a flat road looks at the horizon; one object stands on the road, 4 to 12 m
    away. Where the horizon and the road's vanishing point are, and all colours, differ from scene
    to scene. A row :math:`v` picture heights below the horizon shows the ground
    :math:`1.5 / v` metres away.

    Args:
        count: number of scenes, >= 1.
        side: width and height in pixels, >= 16.
        generator: draws the scenes; None: torch's own.

    Shape:
        Result: pictures :math:`(N, 3, H, W)` in [0, 1], and the targets: ``segmentation``
        :math:`(N, H, W)`, numbers of ``REGIONS``; ``depth`` :math:`(N, 1, H, W)` in metres, at
        most 40; ``detection`` :math:`(N)`, the object's number in ``OBJECTS``.

    Raises:
        ValueError: ``count`` or ``side`` is too small.

    >>> x, targets = driving_scenes(8, generator=torch.Generator().manual_seed(0))
    >>> {name: tuple(target.shape) for name, target in targets.items()}
    {'segmentation': (8, 32, 32), 'depth': (8, 1, 32, 32), 'detection': (8,)}
    """
    whole("count", count)
    whole("side", side, least=16)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        size = (count, *(shape or (1, 1)))
        return low + (high - low) * torch.rand(size, generator=generator, dtype=torch.float64)

    places = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    row, column = places.reshape(-1, 1), places
    horizon, vanishing = uniform(0.3, 0.45), uniform(0.35, 0.65)
    below = (row - horizon).clamp(min=CAMERA / FAR)
    depth = (CAMERA / below).expand(count, side, side).clone()

    sky = (row < horizon).expand(count, side, side)
    road = ~sky & ((column - vanishing).abs() < ROAD * below / CAMERA)
    segmentation = torch.where(sky, 2, torch.where(road, 1, 0))

    kind = torch.randint(len(OBJECTS), (count,), generator=generator)
    distance = uniform(4.0, 12.0)
    width = torch.tensor(WIDTHS, dtype=torch.float64)[kind].reshape(-1, 1, 1) / distance
    height = torch.tensor(HEIGHTS, dtype=torch.float64)[kind].reshape(-1, 1, 1) / distance
    foot = horizon + CAMERA / distance
    middle = vanishing + uniform(-1.5, 1.5) / distance
    inside = ((column - middle).abs() < width / 2) & (row < foot) & (row > foot - height)
    segmentation = torch.where(inside, 3, segmentation)
    depth = torch.where(inside, distance, depth)

    paint = torch.tensor(PAINT, dtype=torch.float64)
    colours = paint + uniform(-0.2, 0.2, len(REGIONS), 3)
    picture = colours[torch.arange(count).reshape(-1, 1, 1), segmentation].permute(0, 3, 1, 2)
    grain = uniform(-0.1, 0.1, 3, side, side)
    pictures = (picture * uniform(0.6, 1.1, 1, 1, 1) + grain).clamp(0, 1)
    kept = torch.get_default_dtype()
    far = depth.unsqueeze(1).to(kept)
    return pictures.to(kept), {"segmentation": segmentation, "depth": far, "detection": kind}
