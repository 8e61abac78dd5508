"""The rubric of the perceptual exercise: what is asked, and what each usual mistake answers.

Each criterion builds a small network laid out as VGG16's beside the learner's class, with random
weights, and asks for the value and the gradients of the loss on two pictures of 32 x 32 pixels. All
is float64, whatever the notebook's default: a ReLU near 0 must not switch by rounding.
"""

import torch
from torch import nn
from torch.nn.functional import mse_loss, normalize

from course_losses.grading import Case, beside, criterion, mistake

NEEDS = ["MultiScalePerceptualLoss"]
LAYERS = ("relu2_2", "relu3_3", "relu4_3")
DETACHED = "No gradient arrives at all: .item(), .detach() or no_grad is in the way."
NO_LOGITS = "There is no parameter called weight_logits: an nn.Parameter, one number per layer."


def drawn(layers: list[str] | None, random: torch.Generator) -> Case:
    """A case with weights that differ by factors: logits 1.5 to 3 apart, in a random order."""
    count = len(layers or LAYERS)
    steps = torch.randint(12, 25, (count,), generator=random).cumsum(0) / 8
    logits = (steps - 4)[torch.randperm(count, generator=random)]
    seed = int(torch.randint(2**31, (), generator=random))
    return Case(seed=seed, layers=layers, logits=logits)


def one_layer(random: torch.Generator) -> Case:
    return drawn([LAYERS[int(torch.randint(3, (), generator=random))]], random)


def three_layers(random: torch.Generator) -> Case:
    return drawn(list(LAYERS), random)


def untouched(random: torch.Generator) -> Case:
    """Neither layers nor logits are given: the defaults."""
    case = drawn(None, random)
    case.logits = None
    return case


def measured(make, case, in_place):
    """The learner's loss on a network of our own, with its gradients; None if there is no value."""
    random = torch.Generator().manual_seed(case["seed"])
    modules, depth = [], 3
    for channels, convolutions in ((4, 2), (5, 2), (6, 3), (7, 3), (7, 3)):
        for _ in range(convolutions):
            convolution = nn.Conv2d(depth, channels, 3, padding=1).double()
            spread = (2 / (9 * depth)) ** 0.5
            shape = convolution.weight.shape
            weight = spread * torch.randn(shape, generator=random, dtype=torch.float64)
            bias = 0.2 * torch.randn(channels, generator=random, dtype=torch.float64)
            convolution.load_state_dict({"weight": weight, "bias": bias})
            modules += [convolution, nn.ReLU(inplace=in_place)]
            depth = channels
        modules.append(nn.MaxPool2d(2))
    features = nn.Sequential(*modules)
    loss = make(features) if case["layers"] is None else make(features, tuple(case["layers"]))
    loss.double()
    coarse = torch.rand(2, 3, 8, 8, generator=random, dtype=torch.float64)
    smooth = nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear")
    noise = torch.randn(smooth.shape, generator=random, dtype=torch.float64)
    before = [smooth + 0.2 * noise, smooth]
    pred, target = before[0].clone().requires_grad_(), before[1].clone()
    logits = dict(loss.named_parameters()).get("weight_logits")
    start = None if logits is None else logits.detach().flatten().clone()
    if start is not None and case["logits"] is not None and len(start) == len(case["logits"]):
        with torch.no_grad():
            logits.copy_(case["logits"].reshape(logits.shape))
    value = loss(pred, target)
    if value is None or value is ...:
        return None
    answer = {"start": start, "value": value, "gradient": None, "logits": None}
    if isinstance(value, torch.Tensor):
        answer["value"] = value.detach()
        if value.requires_grad:
            value.sum().backward()
        if pred.grad is not None:
            answer["gradient"] = 64 * nn.functional.avg_pool2d(pred.grad, 8)
        if logits is not None and logits.grad is not None:
            answer["logits"] = logits.grad.flatten()
    pairs = zip((pred, target), before, strict=True)
    answer["changed"] = not all(torch.equal(now, then) for now, then in pairs)
    answer["pulled"] = any(p.grad is not None for p in features.parameters())
    trained = [p for p in loss.parameters() if p.requires_grad and p is not logits]
    answer["trained"] = bool(trained)
    return answer


def asked(student, case, in_place=True):
    return beside(student, measured, student.MultiScalePerceptualLoss, vars(case), in_place)


@criterion("One layer: the mean squared difference of its ReLU's maps", points=2, cases=one_layer)
def test_one_layer(student, case):
    answer = asked(student, case, in_place=False)
    return answer and answer["value"]


@criterion(
    "Several layers: weighted by the softmax of weight_logits",
    points=2,
    cases=three_layers,
    count=2,
)
def test_weights(student, case):
    answer = asked(student, case)
    if answer is None:
        return None
    assert answer["start"] is not None, NO_LOGITS
    return answer["value"]


@criterion(
    "Defaults: relu2_2, relu3_3 and relu4_3, three logits that start at 0",
    points=1,
    cases=untouched,
    count=1,
    after="test_weights",
)
def test_defaults(student, case):
    answer = asked(student, case)
    if answer is None:
        return None
    assert answer["start"] is not None, NO_LOGITS
    start = answer["start"].tolist()
    assert start == [0.0, 0.0, 0.0], f"weight_logits starts as {start}; asked are three zeros."
    return answer["value"]


@criterion("The gradient that reaches pred is right", points=2, cases=three_layers, count=1)
def test_gradient(student, case):
    answer = asked(student, case)
    if answer is None:
        return None
    assert answer["gradient"] is not None or answer["logits"] is not None, DETACHED
    assert answer["gradient"] is not None, (
        "No gradient reaches pred: its maps were computed under no_grad, or detached. "
        "Freeze the network's parameters, not the path through it."
    )
    return answer["value"], answer["gradient"]


@criterion(
    "The gradient that reaches weight_logits is right", points=1, cases=three_layers, count=1
)
def test_logits(student, case):
    answer = asked(student, case)
    if answer is None:
        return None
    assert answer["start"] is not None, NO_LOGITS
    assert answer["gradient"] is not None or answer["logits"] is not None, DETACHED
    assert answer["logits"] is not None, (
        "No gradient reaches weight_logits, which are to learn: unused, or cut off by .detach()."
    )
    return answer["value"], answer["logits"]


@criterion(
    "The network is frozen: weight_logits is all that an optimiser finds",
    points=1,
    cases=three_layers,
    count=1,
    after="test_weights",
)
def test_frozen(student, case):
    answer = asked(student, case, in_place=False)
    assert not answer["pulled"], (
        "backward left gradients in the network's parameters: switch their requires_grad off."
    )
    assert not answer["trained"], (
        "loss.parameters() hands more than weight_logits to an optimiser: freeze the network."
    )


@criterion(
    "The result is one number without dimensions, and the inputs stay as they were",
    points=1,
    cases=three_layers,
    count=1,
    after="test_weights",
)
def test_manners(student, case):
    answer = asked(student, case, in_place=False)
    assert isinstance(answer["value"], torch.Tensor), "The result is a number, not a tensor."
    shape = tuple(answer["value"].shape)
    assert shape == (), f"The result has the shape {shape}; one number has ()."
    assert not answer["changed"], "An input was changed in place; the caller still needs it."


# The solution keeps `stops`, the numbers of its modules; `maps(picture)`, a list with the maps of
# each; `distances(pred, target)`, one number per layer; and `weight_logits`.


def paired(right, pred, target):
    return list(zip(right.maps(pred), right.maps(target), strict=True))


def combined(right, distances):
    return (right.weight_logits.softmax(0) * torch.stack(distances)).sum()


LOSS = "MultiScalePerceptualLoss"


@mistake(
    LOSS,
    "These are the max-pools' maps: modules 4, 9, 16, 23, 30 are pools. A ReLU stands one before.",
)
def pools(right, pred, target):
    right.stops = [stop + 1 for stop in right.stops]
    return right(pred, target)


@mistake(
    LOSS, "These are the convolutions' maps, before the ReLU. The ReLU is the module after it."
)
def convolutions(right, pred, target):
    right.stops = [stop - 1 for stop in right.stops]
    return right(pred, target)


@mistake(LOSS, "These are the maps of the ReLU before: relu2_2 is the second ReLU of block 2.")
def one_relu_early(right, pred, target):
    right.stops = [stop - 2 for stop in right.stops]
    return right(pred, target)


@mistake(LOSS, "layers is ignored: the three default layers are compared whatever is asked.")
def layers_ignored(right, pred, target):
    if len(right.stops) > 1:
        return right(pred, target)
    right.stops = [8, 15, 22]
    return right.distances(pred, target).mean()


@mistake(LOSS, "layers is ignored: the first default layers are compared whatever is asked.")
def first_default_layers(right, pred, target):
    right.stops = [8, 15, 22][: len(right.stops)]
    return right(pred, target)


@mistake(LOSS, "Squares are summed. Each layer's distance is the mean over all its numbers.")
def sums(right, pred, target):
    return combined(right, [((a - b) ** 2).sum() for a, b in paired(right, pred, target)])


@mistake(LOSS, "Squares are summed over channels and pixels. The mean is over all numbers.")
def sums_per_picture(right, pred, target):
    pairs = paired(right, pred, target)
    return combined(right, [((a - b) ** 2).sum((1, 2, 3)).mean() for a, b in pairs])


@mistake(LOSS, "Squares are summed over the batch's pictures. The mean is over them as well.")
def sums_over_pictures(right, pred, target):
    return right(pred, target) * len(pred)


@mistake(LOSS, "This is the absolute difference of the maps. The squared one is asked for.")
def absolute(right, pred, target):
    return combined(right, [(a - b).abs().mean() for a, b in paired(right, pred, target)])


@mistake(LOSS, "A root is taken of each layer's distance. The mean of squares is asked for.")
def roots(right, pred, target):
    return combined(right, list(right.distances(pred, target).sqrt()))


@mistake(LOSS, "The logits themselves are the weights. Take their softmax.")
def raw(right, pred, target):
    return (right.weight_logits * right.distances(pred, target)).sum()


@mistake(LOSS, "Gram matrices are compared: that is the style loss. Compare the maps themselves.")
def gram(right, pred, target):
    def gram_of(maps):
        flat = maps.flatten(2)
        return flat @ flat.mT / flat[0].numel()

    pairs = paired(right, pred, target)
    return combined(right, [mse_loss(gram_of(a), gram_of(b)) for a, b in pairs])


@mistake(LOSS, "The pictures are normalised with ImageNet's mean and std. Use them as they come.")
def normalised(right, pred, target):
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    return right((pred - mean) / std, (target - mean) / std)


@mistake(LOSS, "The pictures are scaled to −1 … 1. Use them as they come.")
def centred(right, pred, target):
    return right(2 * pred - 1, 2 * target - 1)


@mistake(
    LOSS, "The maps are normalised over their channels, as LPIPS does. Compare them as they come."
)
def unit_length(right, pred, target):
    pairs = paired(right, pred, target)
    return combined(right, [mse_loss(normalize(a), normalize(b)) for a, b in pairs])


@mistake(LOSS, "The pictures are multiplied by 255. Use them as they come.")
def bytes_for_floats(right, pred, target):
    return right(255 * pred, 255 * target)


@mistake(LOSS, "The pictures' own squared error is added. Only the maps are compared.")
def pixels_too(right, pred, target):
    return right(pred, target) + mse_loss(pred, target)


@mistake(LOSS, "The weighted layers are averaged. They are added: the weights sum to 1 already.")
def averaged(right, pred, target):
    return right(pred, target) / len(right.stops)


@mistake(LOSS, "The loss is half of what is asked for.")
def half(right, pred, target):
    return right(pred, target) / 2


@mistake(LOSS, "The result is negative: the weighted sum is the loss as it stands.")
def negative(right, pred, target):
    return -right(pred, target)


@mistake(LOSS, "weight_logits is not used: all layers weigh the same, 1 / number of layers.")
def equal(right, pred, target):
    return right.distances(pred, target).mean()


@mistake(LOSS, "weight_logits is not used: the layers are added, each with weight 1.")
def added(right, pred, target):
    return right.distances(pred, target).sum()


@mistake(LOSS, "The weights are exp(logit), not divided by their sum: that is half a softmax.")
def exponentials(right, pred, target):
    return (right.weight_logits.exp() * right.distances(pred, target)).sum()


@mistake(LOSS, "The weights are sigmoids, each by itself. The softmax makes them add up to 1.")
def sigmoids(right, pred, target):
    return (right.weight_logits.sigmoid() * right.distances(pred, target)).sum()


@mistake(LOSS, "The weights are softplus of the logits. The softmax makes them add up to 1.")
def softplus(right, pred, target):
    weights = torch.nn.functional.softplus(right.weight_logits)
    return (weights * right.distances(pred, target)).sum()


@mistake(LOSS, "This is log_softmax, which is negative. The weights are the softmax.")
def log_softmax(right, pred, target):
    return (right.weight_logits.log_softmax(0) * right.distances(pred, target)).sum()


@mistake(LOSS, "The softmax is applied twice.")
def softmax_twice(right, pred, target):
    weights = right.weight_logits.softmax(0).softmax(0)
    return (weights * right.distances(pred, target)).sum()


@mistake(LOSS, "The softmax has the wrong sign: it is of weight_logits, not of minus them.")
def softmin(right, pred, target):
    return ((-right.weight_logits).softmax(0) * right.distances(pred, target)).sum()


@mistake(LOSS, "The weights add up to 1, but as w / Σw of the logits. Take their softmax.")
def plain_share(right, pred, target):
    weights = right.weight_logits / right.weight_logits.sum()
    return (weights * right.distances(pred, target)).sum()


@mistake(LOSS, "The weights stand in reverse: the first logit belongs to the first layer.")
def reversed_weights(right, pred, target):
    return (right.weight_logits.softmax(0).flip(0) * right.distances(pred, target)).sum()


@mistake(LOSS, "Only the last layer counts: each round of the loop forgets the one before.")
def last_only(right, pred, target):
    return (right.weight_logits.softmax(0) * right.distances(pred, target))[-1]


@mistake(LOSS, "Only the first layer counts: the loop returns in its first round.")
def first_only(right, pred, target):
    return (right.weight_logits.softmax(0) * right.distances(pred, target))[0]


@mistake(LOSS, "One number per layer comes back. One is asked for: their sum.")
def one_per_layer(right, pred, target):
    return right.weight_logits.softmax(0) * right.distances(pred, target)
