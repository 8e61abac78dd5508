"""The rubric of the balancing exercise: what is asked, and what each usual mistake answers.

The model is asked for its shapes and for what it shares, `UncertaintyWeighting` for values and
gradients, and `train` for its records: on a small model of the rubric's own without dropout or
batch norm, in float64, with a step size of practically 0, so that any optimiser gives the same.
One more run with a real step size shows that both are trained.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from course_losses.grading import (
    Case,
    beside,
    criterion,
    gradient,
    mistake,
    numbers,
    parameters,
    set_parameters,
)

NEEDS = ["MultiTaskModel", "UncertaintyWeighting", "train"]
MODULES = ["datasets"]
NO_LOG_VARS = "There is no parameter called log_vars: an nn.Parameter, one number per task."
SHAPES = {"segmentation": "(N, 4, H, W)", "depth": "(N, 1, H, W)", "detection": "(N, 3)"}
STILL = 1e-12  # a step size that leaves everything where it is


def sizes(random: torch.Generator) -> Case:
    """Pictures that are not square: height and width must not be exchanged."""
    return Case(seed=int(torch.randint(2**31, (), generator=random)), height=32, width=64)


def losses(random: torch.Generator) -> Case:
    """Losses of different size, log_vars away from 0; the first task's term is negative."""
    spread = torch.rand(2, 3, generator=random)
    given = (torch.tensor([0.1, 1.5, 4.0]) + torch.tensor([0.1, 1.0, 1.0]) * spread[0]).tolist()
    log_vars = torch.tensor([-1.75, 0.5, 1.25]) + spread[1] / 4
    tensors = [torch.tensor(value, requires_grad=True) for value in given]
    return Case(losses=tensors, log_vars=log_vars)


def run(random: torch.Generator) -> Case:
    case = losses(random)
    seed = int(torch.randint(2**31, (), generator=random))
    return Case(seed=seed, log_vars=case.log_vars)


def outlined(make, case):
    """Shapes of the outputs, whether they are logits, and what their gradients reach."""
    random = torch.Generator().manual_seed(case["seed"])
    pictures = torch.rand(2, 3, case["height"], case["width"], generator=random)
    model = make()
    try:
        outputs = model(pictures)
    except RuntimeError as error:
        model(pictures[..., : case["height"]])  # raises as well, unless it is only the size
        return {"kind": "dict", "one size": str(error)}
    if outputs is None or outputs is ...:
        return None
    if not isinstance(outputs, dict):
        return {"kind": type(outputs).__name__}
    answer = {"kind": "dict", "shapes": {k: list(v.shape) for k, v in outputs.items()}}
    answer["sums to 1"] = [
        k
        for k, v in outputs.items()
        if v.dim() > 1 and v.shape[1] > 1 and bool(((v.sum(1) - 1).abs() < 1e-3).all())
    ]
    trained = [p for p in model.parameters() if p.requires_grad]
    reached = []
    for output in outputs.values():
        if not output.requires_grad or not trained:
            reached.append([False] * len(trained))
            continue
        found = torch.autograd.grad(output.sum(), trained, retain_graph=True, allow_unused=True)
        reached.append([g is not None for g in found])
    answer["shared"] = sum(all(column) for column in zip(*reached, strict=True))
    with torch.no_grad():
        other = model.eval()(pictures.flip(3) * 0.5)
        same = model(pictures)
    answer["blind"] = [k for k in outputs if torch.equal(other[k], same[k])]
    return answer


def trained(train, make_weighting, case, epochs, lr, batches):
    """What `train` records and changes, on a small model and random data of our own."""
    random = torch.Generator().manual_seed(case["seed"])

    def normal(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    class Driver(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared = nn.Parameter(0.5 * normal(6, 3))
            self.heads = nn.ParameterList([0.3 * normal(rows, 6) for rows in (4, 1, 3)])

        def forward(self, x):
            hidden = torch.einsum("kc,nchw->nkhw", self.shared, x).tanh()
            maps, depth, _ = [torch.einsum("kc,nchw->nkhw", w, hidden) for w in self.heads]
            seen = 4 * hidden.mean((2, 3)) @ self.heads[2].T
            return {"segmentation": maps, "depth": depth, "detection": seen}

    data = []
    for count in (5, 3, 2)[:batches]:
        x = normal(count, 3, 32, 32) + 2 * normal(count, 3, 1, 1)
        depth = x[:, :1] + 2.0
        classes = x[:, 0].ge(0).long() + 2 * x[:, 1].ge(0).long()
        kinds = torch.randint(3, (count,), generator=random)
        data.append((x, {"segmentation": classes, "depth": depth, "detection": kinds}))

    class Priced(nn.Module):
        def __init__(self):
            super().__init__()
            self.log_vars = nn.Parameter(torch.zeros(3))

        def forward(self, losses):
            shares = 2 * torch.sigmoid(-self.log_vars)
            return (shares * torch.stack(list(losses)) + 5 * self.log_vars**2).sum()

    model = Driver()
    weighting = (make_weighting or Priced)().double()
    with torch.no_grad():
        log_vars = weighting.log_vars
        log_vars.copy_(case["log_vars"].reshape(log_vars.shape))
    before = [p.detach().clone() for p in model.parameters()]
    history = train(model, weighting, data, epochs=epochs, lr=lr)
    if history is None or history is ...:
        return None
    after = [p.detach() for p in model.parameters()]
    moved = [float((a - b).abs().max()) for a, b in zip(after, before, strict=True)]
    answer = {"history": history, "moved": moved, "start": case["log_vars"]}
    answer["log_vars"] = log_vars.detach().flatten()
    answer["left"] = [None if p.grad is None else p.grad.norm().item() for p in model.parameters()]
    return answer


def recorded(student, case, key, width, epochs=2, lr=STILL, batches=3, weighting=None):
    """One entry of the history as a tensor, and the rest of the answer."""
    answer = beside(student, trained, student.train, weighting, vars(case), epochs, lr, batches)
    if answer is None:
        return None, None
    history = answer["history"]
    assert isinstance(history, dict), "train returns no dict."
    missing = [name for name in ("loss", "task_losses", "weights") if name not in history]
    assert not missing, f"The history has no {' and no '.join(map(repr, missing))}."
    rows = history[key]
    assert len(rows) == epochs, (
        f"history[{key!r}] has {len(rows)} rows after {epochs} epochs; asked is one per epoch."
    )
    values = numbers(rows).reshape(epochs, -1)
    assert values.shape[1] == width, (
        f"A row of history[{key!r}] has {values.shape[1]} numbers instead of {width}."
    )
    return values, answer


@criterion("The model gives three outputs of the right shapes", points=1, cases=sizes, count=1)
def test_shapes(student, case):
    answer = beside(student, outlined, student.MultiTaskModel, vars(case))
    if answer is None:
        return None
    assert answer["kind"] == "dict", f"The model returns a {answer['kind']}; asked is a dict."
    assert "one size" not in answer, (
        f"A square picture passes; {case.height} × {case.width} raises: {answer['one size']}. "
        "Any size is asked for: average over height and width before a linear layer."
    )
    for name, asked in SHAPES.items():
        shape = answer["shapes"].get(name, [])
        assert len(shape) in (0, asked.count(",") + 1), (
            f"{name} has the shape {tuple(shape)}, which is {len(shape)} dimensions; "
            f"asked is {asked}."
        )
    return answer["shapes"]


@criterion(
    "The tasks share layers, look at the picture, and give logits",
    points=1,
    cases=sizes,
    count=1,
    after="test_shapes",
)
def test_shared(student, case):
    answer = beside(student, outlined, student.MultiTaskModel, vars(case))
    assert not answer["sums to 1"], (
        f"{' and '.join(answer['sums to 1'])}: a softmax is applied. Logits are asked for; "
        "cross-entropy applies its own."
    )
    assert answer["shared"], "No parameter is shared: each task has a network of its own."
    assert not answer["blind"], f"{' and '.join(answer['blind'])}: the same for any picture."


@criterion("The value with other log_vars is right", points=1, cases=losses)
def test_value(student, case):
    weighting = student.UncertaintyWeighting(num_tasks=3)
    if "log_vars" not in parameters(weighting):
        assert weighting(case.losses) is None, NO_LOG_VARS
        return None
    set_parameters(weighting, {"log_vars": case.log_vars})
    value = weighting(case.losses)
    assert not isinstance(value, torch.Tensor) or value.isfinite().all(), (
        "The result is not finite. log_vars is a logarithm already, and may be 0 or negative: "
        "take no logarithm of it."
    )
    return value


@criterion(
    "log_vars: one number per task, zeros at first",
    points=1,
    cases=losses,
    count=1,
    after="test_value",
)
def test_start(student, case):
    value = student.UncertaintyWeighting()(case.losses)
    found = parameters(student.UncertaintyWeighting(num_tasks=5))
    assert "log_vars" in found or value is None, NO_LOG_VARS
    return value, found.get("log_vars")


@criterion("The gradients by the losses and by log_vars are right", points=1, cases=losses)
def test_gradients(student, case):
    weighting = student.UncertaintyWeighting(num_tasks=3)
    if "log_vars" not in parameters(weighting):
        assert weighting(case.losses) is None, NO_LOG_VARS
        return None
    set_parameters(weighting, {"log_vars": case.log_vars})
    value, by_losses, by_parameters = gradient(weighting, case.losses)
    return value, by_losses, by_parameters.get("log_vars")


@criterion(
    "train records each task's own loss: cross-entropy, L1, focal",
    points=2,
    cases=run,
    count=1,
)
def test_task_losses(student, case):
    return recorded(student, case, "task_losses", 3)[0]


@criterion(
    "train records the loss that it minimises",
    points=1,
    cases=run,
    count=1,
    after="test_gradients",
)
def test_loss(student, case):
    return recorded(student, case, "loss", 1, weighting=student.UncertaintyWeighting)[0]


@criterion("train records the weights after each epoch", points=1, cases=run, count=1)
def test_weights(student, case):
    values, _ = recorded(student, case, "weights", 3)
    if values is None:
        return None
    later, answer = recorded(student, case, "weights", 3, epochs=2, lr=0.02)
    expected = (-answer["log_vars"]).exp()
    near = bool((later[-1] - expected).norm() <= 1e-3 * (expected.norm() + 1e-9))
    return values, near


@criterion(
    "train moves model and weighting, and both in the right direction",
    points=1,
    cases=run,
    count=1,
    after="test_task_losses",
)
def test_training(student, case):
    values, answer = recorded(student, case, "task_losses", 3, epochs=5, lr=0.01)
    assert min(answer["moved"]) > 0, "A parameter of the model stays where it was."
    assert values[-1].sum() < values[0].sum(), "The losses do not fall: is the sign right?"
    change = answer["log_vars"] - answer["start"].double()
    assert change.abs().min() > 1e-6, (
        "log_vars stays where it was: give weighting.parameters() to the optimiser as well."
    )
    assert (change * answer["start"] < 0).all(), "log_vars moves against its gradient."
    _, still = recorded(student, case, "task_losses", 3, epochs=1, lr=STILL)
    assert max(still["moved"]) < 1e-6, "lr is not used: the model moves whatever it is."
    piled = [recorded(student, case, "loss", 1, n, STILL, 1)[1]["left"] for n in (1, 4)]
    for once, often in zip(*piled, strict=True):
        assert not (once and often and often > 2 * once), (
            "Gradients pile up from step to step: call optimizer.zero_grad() before each backward."
        )


def column(right, model, weighting, data, epochs, lr, task, distance):
    """The right history with one task's loss replaced, and the total that follows."""
    history = right(model, weighting, data, epochs, lr)
    name = ("segmentation", "depth", "detection")[task]
    with torch.no_grad():
        values = [distance(model(x)[name], targets[name]) for x, targets in data]
        for row in history["task_losses"]:
            row[task] = float(sum(values) / len(values))
        history["loss"] = [
            float(weighting([torch.tensor(v) for v in row])) for row in history["task_losses"]
        ]
    return history


@mistake(
    "train", "loss is the plain sum of the tasks' losses. Asked is what weighting makes of it."
)
def unweighted_total(right, *args, **options):
    history = right(*args, **options)
    return history | {"loss": [sum(row) for row in history["task_losses"]]}


@mistake("UncertaintyWeighting", "The losses are multiplied by e^s. It is e^−s: large s, less.")
def plus_s(right, given):
    return (right.log_vars.exp() * torch.stack(given) + right.log_vars).sum()


@mistake("UncertaintyWeighting", "s is used with the wrong sign throughout: asked is e^−s L + s.")
def precisions(right, given):
    return (right.log_vars.exp() * torch.stack(given) - right.log_vars).sum()


@mistake("UncertaintyWeighting", "The term + s is missing: nothing keeps the weights from 0.")
def no_price(right, given):
    return right(given) - right.log_vars.sum()


@mistake("UncertaintyWeighting", "The sign of s is wrong: + s keeps the weights from 0.")
def minus_price(right, given):
    return right(given) - 2 * right.log_vars.sum()


@mistake(
    "UncertaintyWeighting", "All is halved, as for Kendall's regression tasks. No halves here."
)
def halves(right, given):
    return right(given) / 2


@mistake("UncertaintyWeighting", "The term is + s, not + s / 2: here e^−s is the weight itself.")
def half_price(right, given):
    return right(given) - right.log_vars.sum() / 2


@mistake("UncertaintyWeighting", "The losses are halved. Asked is e^−s times the loss.")
def half_losses(right, given):
    return right([value / 2 for value in given])


@mistake("UncertaintyWeighting", "s is the logarithm of the variance: no factor 2 before it.")
def deviations(right, given):
    return right([v * torch.exp(-s) for v, s in zip(given, right.log_vars, strict=True)])


@mistake("UncertaintyWeighting", "This is the mean over the tasks. Their sum is asked for.")
def mean_of_tasks(right, given):
    return right(given) / len(given)


@mistake("UncertaintyWeighting", "One number per task comes back. Their sum is asked for.")
def one_per_task(right, given):
    return torch.stack(given) * (-right.log_vars).exp() + right.log_vars


@mistake("UncertaintyWeighting", "log_vars is not used: this is the plain sum of the losses.")
def plain_sum(right, given):
    return torch.stack(given).sum()


@mistake("UncertaintyWeighting", "The weights are a softmax of −s. Asked is e^−s, and + s.")
def softmax(right, given):
    return ((-right.log_vars).softmax(0) * torch.stack(given)).sum()


@mistake("UncertaintyWeighting", "s itself is the weight. The weight is e^−s, and s is added.")
def s_as_weight(right, given):
    return (right.log_vars * torch.stack(given)).sum()


@mistake("UncertaintyWeighting", "The weight is 1 / s². It is e^−s: s may be 0 or negative.")
def reciprocal(right, given):
    return (torch.stack(given) / right.log_vars**2 + right.log_vars).sum()


@mistake("UncertaintyWeighting", "The price is log(1 + s) or the like. It is s itself.")
def log_price(right, given):
    return right(given) - right.log_vars.sum() + right.log_vars.exp().log1p().sum()


@mistake("UncertaintyWeighting", "The result is negative of what is asked for.")
def negative(right, given):
    return -right(given)


@mistake("UncertaintyWeighting", "No gradient arrives at all: .item(), .detach() or no_grad.")
def detached(right, given):
    return right(given).detach()


@mistake("UncertaintyWeighting", "No gradient reaches the losses: the model could not learn.")
def losses_detached(right, given):
    return right([value.detach() for value in given])


@mistake(
    "UncertaintyWeighting", "No gradient reaches log_vars: .detach() or .data. They are to learn."
)
def weights_detached(right, given):
    return (torch.stack(given) * (-right.log_vars.detach()).exp() + right.log_vars.detach()).sum()


@mistake("UncertaintyWeighting", "The weights are detached: e^−s must learn as well, not only + s.")
def half_detached(right, given):
    return (torch.stack(given) * (-right.log_vars.detach()).exp() + right.log_vars).sum()


@mistake("train", "Depth is measured by the squared error. Asked is L1.")
def squared_depth(right, *args, epochs=5, lr=1e-2):
    return column(right, *args, epochs, lr, 1, F.mse_loss)


@mistake("train", "Depth is measured by a Huber or smooth L1 loss. Asked is L1.")
def smooth_depth(right, *args, epochs=5, lr=1e-2):
    return column(right, *args, epochs, lr, 1, F.smooth_l1_loss)


@mistake("train", "Detection is measured by cross-entropy. Asked is the focal loss, γ = 2.")
def no_focus(right, *args, epochs=5, lr=1e-2):
    return column(right, *args, epochs, lr, 2, F.cross_entropy)


def focal(gamma, alpha=1.0):
    def distance(logits, target):
        price = F.cross_entropy(logits, target, reduction="none")
        return (alpha * (1 - torch.exp(-price)) ** gamma * price).mean()

    return distance


@mistake("train", "Detection: this is the focal loss with γ = 1. Asked is γ = 2.")
def gamma_one(right, *args, epochs=5, lr=1e-2):
    return column(right, *args, epochs, lr, 2, focal(1))


@mistake("train", "Detection: this is the focal loss with α = 0.25. Asked is none.")
def alpha_quarter(right, *args, epochs=5, lr=1e-2):
    return column(right, *args, epochs, lr, 2, focal(2, 0.25))


@mistake("train", "Detection: p_t is the probability of the wrong classes. Easy ones shall fade.")
def wrong_focus(right, *args, epochs=5, lr=1e-2):
    def distance(logits, target):
        price = F.cross_entropy(logits, target, reduction="none")
        return (torch.exp(-price) ** 2 * price).mean()

    return column(right, *args, epochs, lr, 2, distance)


@mistake("train", "Detection: the focal factor is taken of the batch's mean. It is per example.")
def focus_of_mean(right, *args, epochs=5, lr=1e-2):
    def distance(logits, target):
        price = F.cross_entropy(logits, target)
        return (1 - torch.exp(-price)) ** 2 * price

    return column(right, *args, epochs, lr, 2, distance)


@mistake("train", "Detection: the focal loss is summed over the examples. Asked is their mean.")
def focal_sum(right, *args, epochs=5, lr=1e-2):
    return column(right, *args, epochs, lr, 2, lambda a, t: len(t) * focal(2)(a, t))


@mistake("train", "Segmentation: a softmax is applied before cross-entropy, which has its own.")
def softmax_twice(right, *args, epochs=5, lr=1e-2):
    return column(right, *args, epochs, lr, 0, lambda a, t: F.cross_entropy(a.softmax(1), t))


@mistake("train", "The tasks stand in another order. Asked: segmentation, depth, detection.")
def order(right, *args, **options):
    history = right(*args, **options)
    history["task_losses"] = [[c, a, b] for a, b, c in history["task_losses"]]
    return history


@mistake("train", "The tasks stand in reverse order. Asked: segmentation, depth, detection.")
def reverse(right, *args, **options):
    history = right(*args, **options)
    return history | {"task_losses": [row[::-1] for row in history["task_losses"]]}


@mistake("train", "The weighted losses are recorded. task_losses holds them without weights.")
def weighted(right, model, weighting, *args, **options):
    history = right(model, weighting, *args, **options)
    rows = zip(history["task_losses"], history["weights"], strict=True)
    return history | {"task_losses": [[v * w for v, w in zip(*row, strict=True)] for row in rows]}


def rows_of(history, change):
    """The history with the recorded losses changed in the same way."""
    return history | {
        "loss": [change(value) for value in history["loss"]],
        "task_losses": [[change(value) for value in row] for row in history["task_losses"]],
    }


@mistake("train", "The batches' losses are added up. Asked is their mean over the epoch.")
def sum_of_batches(right, model, weighting, data, **options):
    history = right(model, weighting, data, **options)
    return rows_of(history, lambda value: value * len(data))


@mistake("train", "Only the last batch of each epoch is recorded. Asked is the mean over them.")
def last_batch(right, model, weighting, data, **options):
    return right(model, weighting, data[-1:], **options)


@mistake("train", "Only the first batch is used: a return or break too early.")
def first_batch(right, model, weighting, data, **options):
    return right(model, weighting, data[:1], **options)


@mistake("train", "Larger batches count more. Asked is the plain mean over the epoch's batches.")
def by_examples(right, model, weighting, data, **options):
    parts = [
        right(copy.deepcopy(model), copy.deepcopy(weighting), [batch], **options) for batch in data
    ]
    counts = [len(batch[0]) for batch in data]

    def mean(values):
        return sum(v * n for v, n in zip(values, counts, strict=True)) / sum(counts)

    epochs = range(len(parts[0]["loss"]))
    return right(model, weighting, data, **options) | {
        "loss": [mean([p["loss"][e] for p in parts]) for e in epochs],
        "task_losses": [
            [mean([p["task_losses"][e][task] for p in parts]) for task in range(3)] for e in epochs
        ],
    }


def weights_of(right, change):
    def spoilt(model, weighting, *args, **options):
        history = right(model, weighting, *args, **options)
        rows = [torch.as_tensor(row) for row in history["weights"]]
        return history | {"weights": [change(row).tolist() for row in rows]}

    return spoilt


@mistake("train", "The weights are recorded as s. Asked is e^−s.")
def weights_as_s(right, *args, **options):
    return weights_of(right, lambda row: -row.log())(*args, **options)


@mistake("train", "The weights are recorded as e^s, the variances. Asked is e^−s.")
def weights_as_variance(right, *args, **options):
    return weights_of(right, lambda row: 1 / row)(*args, **options)


@mistake("train", "The weights are recorded as e^−s / 2, as Kendall's. Asked is e^−s.")
def weights_halved(right, *args, **options):
    return weights_of(right, lambda row: row / 2)(*args, **options)


@mistake("train", "The weights are scaled to add up to 1. Asked is e^−s as it stands.")
def weights_as_shares(right, *args, **options):
    return weights_of(right, lambda row: row / row.sum())(*args, **options)


@mistake("train", "The weights are scaled to add up to 3. Asked is e^−s as it stands.")
def weights_to_three(right, *args, **options):
    return weights_of(right, lambda row: 3 * row / row.sum())(*args, **options)


@mistake("train", "The weights are from before the epoch, or never renewed. Asked: after each.")
def weights_before(right, model, weighting, *args, **options):
    start = (-weighting.log_vars.detach()).exp().tolist()
    history = right(model, weighting, *args, **options)
    return history | {"weights": [start, *history["weights"][:-1]]}
