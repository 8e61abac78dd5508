"""Perceptual losses: the layout of VGG16, one pass, a frozen network, and layers taken by hand."""

import sys
import types
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

import course_losses as cl

LOSSES = [cl.PerceptualLoss, cl.StyleLoss]
# The file that torchvision's vgg16 loads: its convolutions, as (index, channels in, channels out).
TORCHVISION = [
    (0, 3, 64),
    (2, 64, 64),
    (5, 64, 128),
    (7, 128, 128),
    (10, 128, 256),
    (12, 256, 256),
    (14, 256, 256),
    (17, 256, 512),
    (19, 512, 512),
    (21, 512, 512),
    (24, 512, 512),
    (26, 512, 512),
    (28, 512, 512),
]
POOLS = [4, 9, 16, 23, 30]


def vgg(**arguments: object) -> nn.Sequential:
    torch.manual_seed(0)
    return cl.vgg16_features(**{"width": 0.1, **arguments}).double()


def pictures(count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    pred, target = torch.rand(2, count, 3, 16, 16, generator=generator, dtype=torch.float64)
    return pred, target


# ---------------------------------------------------------------- the layout


def test_the_layout_is_torchvisions():
    with torch.device("meta"):  # shapes without the 56 MiB
        features = cl.vgg16_features()
    shapes = {name: tuple(p.shape) for name, p in features.state_dict().items()}
    expected = {}
    for index, before, after in TORCHVISION:
        expected[f"{index}.weight"], expected[f"{index}.bias"] = (after, before, 3, 3), (after,)
    assert shapes == expected
    kinds = [type(module) for module in features]
    assert len(kinds) == 31
    assert [i for i, kind in enumerate(kinds) if kind is nn.MaxPool2d] == POOLS
    assert all(kinds[index + 1] is nn.ReLU for index, _, _ in TORCHVISION)
    assert all(features[index + 1].inplace for index, _, _ in TORCHVISION)
    assert features(torch.zeros(1, 3, 64, 96, device="meta")).shape == (1, 512, 2, 3)


def test_layers_are_the_relus_and_none_is_a_pool():
    assert cl.VGG16_LAYERS == {
        **{"relu1_1": 1, "relu1_2": 3, "relu2_1": 6, "relu2_2": 8},
        **{"relu3_1": 11, "relu3_2": 13, "relu3_3": 15},
        **{"relu4_1": 18, "relu4_2": 20, "relu4_3": 22},
        **{"relu5_1": 25, "relu5_2": 27, "relu5_3": 29},
    }
    features = vgg()
    assert all(isinstance(features[index], nn.ReLU) for index in cl.VGG16_LAYERS.values())


def test_the_layout_of_the_small_network():
    features = cl.patch_features()
    names = [name for name, _ in features.named_children()]
    assert names == ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "conv3", "relu3"]
    assert features(torch.zeros(1, 1, 16, 12)).shape == (1, 64, 4, 3)


def test_width_scales_every_layer():
    features = cl.vgg16_features(width=0.25)
    assert [features[i].out_channels for i, _, _ in TORCHVISION] == [
        c // 4 for *_, c in TORCHVISION
    ]
    assert features[0].in_channels == 3
    assert cl.vgg16_features(width=1e-6)[28].out_channels == 1


def test_random_weights_keep_the_size_of_what_passes_through():
    torch.manual_seed(0)
    features = cl.vgg16_features(width=0.5)
    x = torch.randn(2, 3, 64, 64)
    for index, module in enumerate(features):
        x = module(x)
        if isinstance(module, nn.ReLU):
            assert 0.05 < x.pow(2).mean().sqrt() < 20, index


# ---------------------------------------------------------------- weights


def test_weights_from_every_source(tmp_path: Path):
    original = vgg().float()
    parts = original.state_dict()
    whole = {f"features.{name}": w for name, w in parts.items()}
    whole["classifier.0.weight"] = torch.zeros(2, 2)
    torch.save(whole, tmp_path / "vgg16.pth")
    save_file(parts, tmp_path / "vgg16.safetensors")
    sources = [parts, whole, tmp_path / "vgg16.pth", str(tmp_path / "vgg16.safetensors")]
    for weights in sources:
        torch.manual_seed(5)
        loaded = cl.vgg16_features(weights, width=0.1).state_dict()
        assert all((loaded[name] == w).all() for name, w in parts.items())


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path):
    torch.save({"0.weight": print}, tmp_path / "bad.pth")
    with pytest.raises(Exception, match="Weights only load failed"):
        cl.vgg16_features(tmp_path / "bad.pth")


def test_imagenet_weights_come_from_torchvision(monkeypatch: pytest.MonkeyPatch):
    parts = vgg().float().state_dict()
    enum = types.SimpleNamespace(
        IMAGENET1K_V1=types.SimpleNamespace(
            get_state_dict=lambda: {f"features.{name}": w for name, w in parts.items()}
        )
    )
    models = types.ModuleType("torchvision.models")
    models.VGG16_Weights = enum
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    loaded = cl.vgg16_features("imagenet", width=0.1).state_dict()
    assert all((loaded[name] == w).all() for name, w in parts.items())


def test_imagenet_without_torchvision_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(ImportError, match=r"pip install 'course-losses\[vision\]', or pass"):
        cl.vgg16_features("imagenet")


# ---------------------------------------------------------------- values


def test_perceptual_loss_layer_by_layer():
    features, (pred, target) = vgg(), pictures()
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])
    layers, weights = ("relu2_2", "relu1_2", "relu3_1"), [0.3, 2.0, 5.0]
    expected = torch.zeros(3, dtype=torch.float64)
    for layer, weight in zip(layers, weights, strict=True):
        part = features[: cl.VGG16_LAYERS[layer] + 1]
        maps = [
            part((x - mean.double()[:, None, None]) / std.double()[:, None, None])
            for x in (pred, target)
        ]
        for i in range(3):
            expected[i] += weight * ((maps[0][i] - maps[1][i]) ** 2).mean()
    loss = cl.PerceptualLoss(features, layers, weights, mean.tolist(), std.tolist(), "none")
    assert_close(loss(pred, target), expected, rtol=1e-6, atol=0)


def test_default_layers_weigh_one_and_nothing_is_normalised():
    features, (pred, target) = vgg(), pictures()
    singles = [
        cl.PerceptualLoss(features, (layer,))(pred, target)
        for layer in ("relu1_2", "relu2_2", "relu3_3")
    ]
    assert_close(cl.PerceptualLoss(features)(pred, target), torch.stack(singles).sum())
    by_hand = ((features[:4](pred) - features[:4](target)) ** 2).mean()
    assert_close(singles[0], by_hand)


def test_gram_matrix_by_hand_and_by_loops():
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    gram = cl.gram_matrix(maps)
    for n in range(2):
        for c in range(3):
            for d in range(3):
                assert_close(gram[n, c, d], (maps[n, c] * maps[n, d]).sum() / 60)
    assert_close(cl.gram_matrix(maps.flatten(2)), gram)


def test_style_loss_by_hand():
    features, (pred, target) = vgg(), pictures()
    maps = features[:4](pred), features[:4](target)
    difference = cl.gram_matrix(maps[0]) - cl.gram_matrix(maps[1])
    loss = cl.StyleLoss(features, ("relu1_2",), weights=[3.0], reduction="none")
    assert_close(loss(pred, target), 3 * (difference**2).mean((1, 2)))


def test_style_of_several_layers_is_the_sum():
    features, (pred, target) = vgg(), pictures()
    names, weights = ("relu1_2", "relu2_2"), (3.0, 0.5)
    singles = [
        cl.StyleLoss(features, (name,), (weight,))(pred, target)
        for name, weight in zip(names, weights, strict=True)
    ]
    assert_close(cl.StyleLoss(features, names, weights)(pred, target), sum(singles))


def test_an_unknown_layer_is_told_the_first_six():
    with pytest.raises(ValueError, match="it has 31 modules, 0, 1, 2, 3, 4, 5 …"):
        cl.PerceptualLoss(vgg(), ("relu9",))


def test_style_ignores_where_and_perception_does_not():
    target = pictures()[1]
    identity = nn.Sequential(nn.Identity())
    moved = target.roll((3, 5), dims=(2, 3))
    assert_close(cl.StyleLoss(identity, ("0",))(moved, target).item(), 0.0)
    assert cl.PerceptualLoss(identity, ("0",))(moved, target) > 0.05


def test_perceptual_loss_of_the_identity_is_the_squared_error():
    pred, target = pictures()
    loss = cl.PerceptualLoss(nn.Sequential(nn.Identity()), ("0",))
    assert_close(loss(pred, target), cl.MSELoss()(pred, target))


def test_one_mean_and_std_serve_every_channel_and_are_not_saved():
    pred, target = pictures()
    one = cl.PerceptualLoss(vgg(), mean=[0.4], std=[0.2])
    three = cl.PerceptualLoss(vgg(), mean=[0.4] * 3, std=[0.2] * 3)
    assert_close(one(pred, target), three(pred, target))
    assert not {"mean", "std"} & set(one.state_dict())


@pytest.mark.parametrize("loss", LOSSES)
def test_equal_pictures_cost_exactly_nothing(loss):
    pred, _ = pictures()
    assert loss(vgg())(pred, pred) == 0


# ---------------------------------------------------------------- one pass, and no further


@pytest.mark.parametrize("loss", LOSSES)
def test_each_module_runs_once_per_picture_and_none_after_the_last_layer(loss):
    features = vgg()
    runs = [0] * 31
    for index, module in enumerate(features):
        module.register_forward_hook(
            lambda *_, index=index: runs.__setitem__(index, runs[index] + 1)
        )
    loss(features, ("relu2_2", "relu1_1", "relu1_2"))(*pictures())
    assert runs == [2] * 9 + [0] * 22


# ---------------------------------------------------------------- frozen


class Tail(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.criterion = cl.PerceptualLoss(
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU()), ("3",)
        )


def test_the_network_is_frozen_also_after_train():
    model = Tail()
    pred, target = (x.float() for x in pictures())
    pred.requires_grad_()
    model.train()
    batch_norm = model.criterion.features[1]
    before = batch_norm.running_mean.clone()
    first, second = model.criterion(pred, target), model.criterion(pred, target)
    first.backward()
    assert first == second  # no dropout
    assert model.criterion.training
    assert not any(module.training for module in model.criterion.features.modules())
    assert (batch_norm.running_mean == before).all()
    assert all(not p.requires_grad and p.grad is None for p in model.parameters())
    assert model.eval() is model
    assert not model.criterion.training
    assert model.criterion.train().training


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_reaches_the_prediction_only(loss):
    pred, target = (x.requires_grad_() for x in pictures())
    criterion = loss(vgg())
    criterion(pred, target).backward()
    assert pred.grad.abs().sum() > 0
    assert target.grad is None


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("network", ["vgg", "patches"])
def test_gradient_in_the_prediction_agrees_with_finite_differences(loss, network):
    features = vgg() if network == "vgg" else cl.patch_features().double()
    layers = ("relu1_1", "relu1_2") if network == "vgg" else ("relu1", "relu2")
    pred, target = (x[:1, : features[0].in_channels, :4, :4] for x in pictures())
    criterion = loss(features, layers, weights=[1.0, 0.5])
    pred = pred.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: criterion(x, target), pred)


@pytest.mark.parametrize("loss", LOSSES)
def test_in_place_activations_change_neither_value_nor_picture(loss):
    pred, target = pictures()
    convolution = nn.Conv2d(3, 3, 3, padding=1).double()

    def features(inplace: bool) -> nn.Sequential:
        return nn.Sequential(nn.ReLU(inplace), convolution, nn.ReLU(inplace), nn.ELU(1.0, inplace))

    before = pred.clone()
    layers = ("0", "1", "2", "3")
    result = loss(features(True), layers)(pred - 0.5, target - 0.5)
    assert_close(result, loss(features(False), layers)(pred - 0.5, target - 0.5))
    shifted = pred - 0.5
    loss(features(True), layers)(shifted, target)
    assert (shifted == pred - 0.5).all()
    assert (pred == before).all()


def test_precision_of_picture_and_network_may_differ():
    pred, target = pictures()
    exact = cl.PerceptualLoss(vgg())(pred, target)
    mixed = cl.PerceptualLoss(vgg())(pred.float(), target.float())
    assert mixed.dtype == torch.float32
    assert_close(mixed.double(), exact, rtol=1e-5, atol=0)
    assert_close(cl.PerceptualLoss(vgg().float())(pred, target), exact, rtol=1e-4, atol=0)


def test_half_precision_overflows_nowhere_inside():
    identity = nn.Sequential(nn.Identity())
    bright, black = torch.full((1, 1, 1, 1), 300.0).half(), torch.zeros(1, 1, 1, 1).half()
    # 300² is beyond float16, half of it is not.
    loss = cl.PerceptualLoss(identity, ("0",), weights=[0.5])(bright, black)
    assert_close(loss, torch.tensor(45000.0).half(), rtol=0, atol=0)
    gram = cl.gram_matrix(torch.tensor([[[300.0, 0.0, 0.0, 0.0]]]).half())
    assert_close(gram, torch.tensor([[[22500.0]]]).half(), rtol=0, atol=0)
    style = cl.StyleLoss(identity, ("0",), weights=[1e-4])
    loss = style(torch.full((1, 1, 1, 1), 100.0).half(), black)
    assert_close(loss, torch.tensor(1e4).half(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("loss", LOSSES)
def test_autocast_leaves_the_network_in_float32(loss):
    pred, target = (x.float() for x in pictures())
    criterion = loss(vgg().float())
    with torch.autocast("cpu", torch.bfloat16):
        inside = criterion(pred, target)
    assert_close(inside, criterion(pred, target), rtol=0, atol=0)


def test_descent_on_the_picture_brings_it_nearer():
    x, target = (p[:, :1] for p in pictures())
    criterion = cl.PerceptualLoss(cl.patch_features().double(), ("relu1", "relu2"))
    start = criterion(x, target)
    for _ in range(30):
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(criterion(x, target), x)
        x = x - 5 * slope
    assert criterion(x, target) < 0.5 * start
