"""Losses that compare pictures by what a convolutional network makes of them."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from course_losses.checks import dimensions, floating, not_empty, same_shape, within
from course_losses.loss import Loss, Reduction, in_float32

# VGG16's convolutional part: the channels of each block's convolutions, a max-pool after each.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def _relu_indices() -> dict[str, int]:
    names, index = {}, -1
    for block, channels in enumerate(BLOCKS, start=1):
        for convolution, _ in enumerate(channels, start=1):
            index += 2  # a convolution, then its ReLU
            names[f"relu{block}_{convolution}"] = index
        index += 1  # the pool
    return names


VGG16_LAYERS: dict[str, int] = _relu_indices()
"""Where each ReLU of :func:`vgg16_features` stands: ``VGG16_LAYERS["relu1_2"]`` is 3."""

PATCH_WEIGHTS = "patch_features.safetensors"


def vgg16_features(
    weights: str | Path | Mapping[str, Tensor] | None = None, width: float = 1.0
) -> nn.Sequential:
    """The convolutional part of VGG16: 31 modules, numbered as in torchvision.

    Args:
        weights: None for random ones (He initialisation); "imagenet" for torchvision's, which
            needs ``pip install "course-losses[vision]"`` and, the first time, a download; the path
            of a ``.pth`` or ``.safetensors`` file; or a state dict. The keys may be those of the
            whole network (``features.0.weight`` …) or of this part (``0.weight`` …).
        width: multiplies every number of channels; below 1 for a small network of the same shape.

    Raises:
        ValueError: ``width`` is not positive, or the weights do not fit.
        FileNotFoundError: there is no such file.
        ImportError: "imagenet", and torchvision does not import.

    Convention:
        Layers are named for what they are: ``relu1_2`` is the ReLU after the second convolution
        of block 1, module 3. Modules 4, 9, 16, 23 and 30 are the max-pools.

    Source:
        Simonyan & Zisserman (2015), Very Deep Convolutional Networks for Large-Scale Image
        Recognition, Table 1, configuration D.

    >>> features = vgg16_features(width=0.125)
    >>> features[VGG16_LAYERS["relu2_2"]], len(features)
    (ReLU(inplace=True), 31)
    """
    within("width", width, "(0, inf)")
    state = None if weights is None else state_dict(weights)
    modules: list[nn.Module] = []
    before = 3
    for block in BLOCKS:
        for full in block:
            channels = max(1, round(full * width))
            convolution = nn.Conv2d(before, channels, kernel_size=3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
            modules += [convolution, nn.ReLU(inplace=True)]
            before = channels
        modules.append(nn.MaxPool2d(kernel_size=2, stride=2))
    features = nn.Sequential(*modules)
    if state is not None:
        try:
            features.load_state_dict(state)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()
            raise ValueError(f"weights do not fit a VGG16 of this width: {first}") from error
    return features


def state_dict(weights: str | Path | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The weights of the convolutional part, however they come, named as in the part itself."""
    state = weights if isinstance(weights, Mapping) else read(weights)
    prefix = "features."
    if any(name.startswith(prefix) for name in state):
        return {n.removeprefix(prefix): w for n, w in state.items() if n.startswith(prefix)}
    return state


def read(weights: str | Path) -> Mapping[str, Tensor]:
    """A state dict from a file, or torchvision's for "imagenet"."""
    if weights == "imagenet":
        try:
            models = import_module("torchvision.models")
        except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
            raise ImportError(
                f"weights='imagenet' needs torchvision, which does not import ({error}): "
                "pip install 'course-losses[vision]', or pass a weights file or a state dict"
            ) from error
        downloaded: Mapping[str, Tensor] = models.VGG16_Weights.IMAGENET1K_V1.get_state_dict()
        return downloaded
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(
            "weights must be 'imagenet', a file or a state dict, "
            f"and there is no file {str(path)!r}"
        )
    if path.suffix == ".safetensors":
        return load_file(path)
    stored: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return stored


def patch_network() -> nn.Sequential:
    """The layout of :func:`patch_features`, with random weights."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = (1, 16, 32, 64)
    for i in range(1, len(channels)):
        if i > 1:
            layers[f"pool{i - 1}"] = nn.AvgPool2d(2)
        layers[f"conv{i}"] = nn.Conv2d(channels[i - 1], channels[i], kernel_size=3, padding=1)
        layers[f"relu{i}"] = nn.ReLU()
    return nn.Sequential(layers)


def patch_features() -> nn.Sequential:
    """A small trained feature network that comes with the package: nothing to download.

    Three convolutions (1-16-32-64 channels) that learned to tell from which of sixteen photographs
    a grey patch was cut. Its layers are ``relu1``, ``relu2`` and ``relu3``; each channel has about
    unit deviation on photographs. It is no VGG: it saw sixteen pictures, in grey.

    Shape:
        Input: :math:`(N, 1, H, W)`, grey in [0, 1]; average colour over its channels first.

    >>> loss = PerceptualLoss(patch_features(), layers=("relu2", "relu3"))
    >>> loss(torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16))
    tensor(0.)
    """
    network = patch_network()
    network.load_state_dict(load_file(Path(__file__).with_name(PATCH_WEIGHTS)))
    return network


class FeatureLoss(Loss):
    """What both losses share: a frozen network, the layers to look at, and their weights."""

    features: nn.Sequential
    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        features: nn.Sequential,
        layers: Sequence[str] = ("relu1_2", "relu2_2", "relu3_3"),
        weights: Sequence[float] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        if not isinstance(features, nn.Sequential):
            raise TypeError(
                f"features must be an nn.Sequential, got {type(features).__name__}: "
                "of torchvision's networks pass the part .features"
            )
        self.layers = tuple(layers)
        self.stops = tuple(position(name, features) for name in self.layers)
        if not self.layers or len(set(self.stops)) < len(self.stops):
            raise ValueError(f"layers must name at least one layer, each once, got {layers!r}")
        self.weights = (1.0,) * len(self.layers) if weights is None else tuple(weights)
        if len(self.weights) != len(self.layers):
            raise ValueError(
                f"weights must hold one number per layer, got {len(self.weights)} "
                f"for {len(self.layers)} layers"
            )
        for weight in self.weights:
            within("weights", weight, "[0, inf)")
        for name, values in (("mean", mean), ("std", std)):
            per_channel = None if values is None else torch.as_tensor(values).reshape(-1, 1, 1)
            self.register_buffer(name, per_channel, persistent=False)
        if self.std is not None and not (self.std > 0).all():
            raise ValueError(f"std must be positive, got {std!r}")
        self.features = features.requires_grad_(False).eval()
        # An activation that works in place would overwrite the map before it.
        for module in features.modules():
            if hasattr(module, "inplace"):
                module.inplace = False  # type: ignore[assignment]

    def train(self, mode: bool = True) -> "FeatureLoss":
        super().train(mode)
        self.features.eval()
        return self

    def maps(self, pred: Tensor, target: Tensor) -> Iterator[tuple[float, Tensor, Tensor]]:
        """For each layer asked for: its weight, and what it makes of both pictures."""
        floating(pred=pred, target=target)
        same_shape(pred=pred, target=target)
        dimensions(4, pred=pred)
        not_empty(pred=pred)
        seen = self.look(pred)
        with torch.no_grad():
            wanted = self.look(target)
        return zip(self.weights, seen, wanted, strict=True)

    def look(self, picture: Tensor) -> list[Tensor]:
        """The maps of the layers asked for, from one pass that ends at the last of them."""
        x = self.normalised(picture)
        found = {}
        for index, module in enumerate(self.features):
            x = module(x)
            if index in self.stops:
                found[index] = x
            if index == max(self.stops):
                break
        return [found[index] for index in self.stops]

    def normalised(self, picture: Tensor) -> Tensor:
        """The picture in the network's precision, minus ``mean``, over ``std``."""
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, picture.shape[1]):
                raise ValueError(
                    f"{name} must hold one value per channel: {len(values)} values "
                    f"for pictures of {picture.shape[1]} channels"
                )
        parameter = next(self.features.parameters(), picture)
        x = picture.to(parameter.dtype)
        x = x if self.mean is None else x - self.mean.to(x)
        return x if self.std is None else x / self.std.to(x)


class PerceptualLoss(FeatureLoss):
    r"""Squared error between the feature maps of two pictures: it asks what is shown, not where.

    .. math::
        \ell = \sum_l w_l \operatorname{mean} \bigl( \phi_l(\text{pred}) - \phi_l(\text{target})
        \bigr)^2

    :math:`\phi_l` is the output of layer :math:`l` of a fixed network. The gradient reaches the
    prediction through the network; neither its parameters nor the target get any.

    Args:
        features: an ``nn.Sequential`` that treats its examples one by one, such as
            :func:`vgg16_features` or :func:`patch_features`. It is frozen: no gradients,
            evaluation mode for good, in-place activations turned off.
        layers: the names of its modules (see :data:`VGG16_LAYERS` for VGG16's).
        weights: :math:`w_l` ≥ 0, one per layer; None: 1 each.
        mean, std: subtracted from and divided into the input, per channel; for ImageNet's networks
            (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225), with pictures in [0, 1].
        reduction: "mean", "sum" or "none": the examples are what is reduced.

    Shape:
        pred, target: :math:`(N, C, H, W)`, equal. Result: scalar; :math:`(N)` for "none".

    Range:
        :math:`[0, \infty)`. 0 does not mean equal pictures: the network may be blind to a
        difference.

    Raises:
        ValueError: a layer is unknown or named twice, a weight is negative, the numbers of weights
            or channels do not fit, the shapes differ, or the batch is empty.
        TypeError: ``features`` is not an ``nn.Sequential``, or a picture not floating point.

    Convention:
        The mean over channels and positions of a layer, as in Johnson et al.; the layers' terms
        are added. The layers are ReLUs: index 4 of VGG16, often seen for relu1_2, is a max-pool.

    Source:
        Johnson, Alahi & Fei-Fei (2016), Perceptual Losses for Real-Time Style Transfer and
        Super-Resolution, §3.2.

    >>> _ = torch.manual_seed(0)
    >>> loss = PerceptualLoss(vgg16_features(width=0.125), layers=("relu1_2", "relu2_2"))
    >>> picture = torch.rand(1, 3, 8, 8)
    >>> loss(picture, picture)
    tensor(0.)
    """

    @in_float32
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        terms = [w * ((a - b) ** 2).flatten(1).mean(1) for w, a, b in self.maps(pred, target)]
        return self.reduce(torch.stack(terms).sum(0)).to(pred.dtype)


class StyleLoss(FeatureLoss):
    r"""Squared error between Gram matrices: which features occur together, wherever they are.

    .. math::
        \ell = \sum_l w_l \operatorname{mean} \bigl( G(\phi_l(\text{pred})) -
        G(\phi_l(\text{target})) \bigr)^2

    :math:`G` is :func:`gram_matrix`, so moving a texture about costs (almost) nothing. The gradient
    reaches the prediction only.

    Args:
        features: as for :class:`PerceptualLoss`.
        layers: the names of its modules.
        weights: :math:`w_l` ≥ 0, one per layer; None: 1 each.
        mean, std: subtracted from and divided into the input, per channel.
        reduction: "mean", "sum" or "none": the examples are what is reduced.

    Shape:
        pred, target: :math:`(N, C, H, W)`, equal. Result: scalar; :math:`(N)` for "none".

    Range:
        :math:`[0, \infty)`.

    Raises:
        ValueError: a layer is unknown or named twice, a weight is negative, the numbers of weights
            or channels do not fit, the shapes differ, or the batch is empty.
        TypeError: ``features`` is not an ``nn.Sequential``, or a picture not floating point.

    Convention:
        The mean over the matrix, of Gram matrices divided by the size of the map. Gatys et al.
        divide otherwise, which amounts to other weights per layer.

    Source:
        Gatys, Ecker & Bethge (2016), Image Style Transfer Using Convolutional Neural Networks,
        §2.2; Johnson, Alahi & Fei-Fei (2016), §3.2.

    >>> loss = StyleLoss(patch_features(), layers=("relu1",))
    >>> stripes = torch.tensor([0.0, 1.0]).repeat(8).expand(1, 1, 16, 16)
    >>> loss(stripes, stripes.roll(2, dims=3))
    tensor(0.)
    """

    @in_float32
    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        terms = [
            w * ((gram_matrix(a) - gram_matrix(b)) ** 2).mean((1, 2))
            for w, a, b in self.maps(pred, target)
        ]
        return self.reduce(torch.stack(terms).sum(0)).to(pred.dtype)


@in_float32
def gram_matrix(maps: Tensor) -> Tensor:
    r"""How strongly each pair of channels lights up together, over all positions.

    .. math::
        G_{cd} = \frac{1}{C H W} \sum_{h, w} \phi_{chw}\, \phi_{dhw}

    Shape:
        maps: :math:`(N, C, *)`. Result: :math:`(N, C, C)`.

    Raises:
        ValueError: there are fewer than three dimensions.
        TypeError: ``maps`` is not a floating-point tensor.

    Source:
        Johnson, Alahi & Fei-Fei (2016), §3.2.

    >>> gram_matrix(torch.tensor([[[1.0, 0.0], [1.0, 2.0]]]))
    tensor([[[0.2500, 0.2500],
             [0.2500, 1.2500]]])
    """
    floating(maps=maps)
    if maps.dim() < 3:
        raise ValueError(f"maps must have shape (N, C, ...), got {tuple(maps.shape)}")
    flat = maps.flatten(2)
    return flat @ flat.mT / flat[0].numel()


def position(name: str, features: nn.Sequential) -> int:
    """The index of a layer, by the network's own name for it or by VGG16's."""
    names = [child for child, _ in features.named_children()]
    index = names.index(name) if name in names else VGG16_LAYERS.get(name, len(names))
    if index >= len(names):
        raise ValueError(
            f"layers must name modules of features, got {name!r}: it has {len(names)} modules, "
            f"{', '.join(names[:6])} …, and of VGG16's names those of {', '.join(VGG16_LAYERS)} "
            "that lie within"
        )
    return index
