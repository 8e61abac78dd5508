"""The scenes that the course draws are what their page says, and the same every time."""

import pytest
import torch

from course_losses.datasets import OBJECTS, REGIONS, driving_scenes

VERGE, ROAD, SKY, OBJECT = range(len(REGIONS))


def scenes(count: int = 64, seed: int = 0, side: int = 32):
    return driving_scenes(count, side, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("side", [16, 32, 48])
def test_pictures_and_targets_fit_together(side):
    x, targets = scenes(5, side=side)
    assert x.shape == (5, 3, side, side)
    assert targets["segmentation"].shape == (5, side, side)
    assert targets["depth"].shape == (5, 1, side, side)
    assert targets["detection"].shape == (5,)
    assert targets["segmentation"].dtype == targets["detection"].dtype == torch.int64
    assert x.dtype == targets["depth"].dtype == torch.get_default_dtype()
    assert x.min() >= 0
    assert x.max() <= 1


def test_a_generator_decides_everything():
    first, again, other = scenes(seed=1), scenes(seed=1), scenes(seed=2)
    torch.manual_seed(3)
    for ours, same, another in (
        (first[0], again[0], other[0]),
        *((first[1][name], again[1][name], other[1][name]) for name in first[1]),
    ):
        assert torch.equal(ours, same)
        assert not torch.equal(ours, another)
    before = torch.get_rng_state()
    scenes()
    assert torch.equal(before, torch.get_rng_state())


def test_every_class_is_there():
    _, targets = scenes()
    assert targets["segmentation"].unique().tolist() == [0, 1, 2, 3]
    assert targets["detection"].unique().tolist() == list(range(len(OBJECTS)))
    per_scene = [(targets["segmentation"] == k).flatten(1).any(1) for k in range(4)]
    assert torch.stack(per_scene).all(), "each scene shows verge, road, sky and an object"


def test_sky_is_as_far_as_it_gets_and_the_object_has_one_distance():
    _, targets = scenes()
    depth, region = targets["depth"][:, 0], targets["segmentation"]
    assert (depth[region == SKY] == 40).all()
    assert depth.max() == 40
    for scene in range(len(depth)):
        distances = depth[scene][region[scene] == OBJECT]
        assert distances.unique().numel() == 1
        assert 4 <= distances[0] <= 12


def test_the_ground_comes_nearer_row_by_row():
    _, targets = scenes()
    depth, region = targets["depth"][:, 0], targets["segmentation"]
    ground = (region == ROAD) | (region == VERGE)
    both = ground[:, 1:] & ground[:, :-1]
    assert (depth[:, 1:][both] <= depth[:, :-1][both]).all()
    bottom = depth[:, -1][ground[:, -1]]
    assert (bottom > 1.5 / 0.7).all()
    assert (bottom < 1.5 / 0.5).all()


def test_the_road_widens_towards_the_camera():
    _, targets = scenes()
    width = (targets["segmentation"] == ROAD).sum(2)
    seen = (targets["segmentation"] == OBJECT).sum(2) == 0
    both = seen[:, 1:] & seen[:, :-1]
    assert (width[:, 1:][both] >= width[:, :-1][both]).all()


def test_objects_have_their_proportions():
    _, targets = scenes(300, side=64)
    tall = {}
    for kind, name in enumerate(OBJECTS):
        inside = targets["segmentation"][targets["detection"] == kind] == OBJECT
        height, width = inside.any(2).sum(1).double(), inside.any(1).sum(1).double()
        tall[name] = (height / width).median().item()
    assert tall["car"] == pytest.approx(1.5 / 1.8, abs=0.1)
    assert tall["lorry"] == pytest.approx(3.4 / 2.5, abs=0.15)
    assert tall["pedestrian"] == pytest.approx(1.8 / 0.7, abs=0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "count must be"), ((4, 8), "side must be at least 16, got 8")],
)
def test_too_small(arguments, message):
    with pytest.raises(ValueError, match=message):
        driving_scenes(*arguments)


def test_the_scenes_do_not_depend_on_the_default_dtype():
    x, targets = scenes()
    try:
        torch.set_default_dtype(torch.float64)
        wide, wide_targets = scenes()
    finally:
        torch.set_default_dtype(torch.float32)
    assert wide.dtype == torch.float64
    torch.testing.assert_close(wide.float(), x)
    assert torch.equal(wide_targets["segmentation"], targets["segmentation"])
    assert torch.equal(wide_targets["detection"], targets["detection"])
