"""How fast the losses are beside their peers: forward, backward and peak memory.

    python tests/benchmarks/losses.py [FAMILY ...]

All implementations of a family share one input, one process and one thread, and take turns, so
that whatever slows the machine slows them alike. Times are medians of CPU time; under 25 % a
difference is noise. A loss meets its target when it takes at most 1.25 times the time and the
memory of the best peer of the same meaning, plus 50 microseconds for the checks of its arguments,
which peers leave out. One that misses is measured again before it counts. Where the formula is
the lesson (Huber, log-cosh ...), the target is set for the compiled loss, by torch's own kernel.
"""

import importlib
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType

os.environ["KINETO_LOG_LEVEL"] = "99"  # read once, when torch is imported

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import course_losses as cl

TARGET = 1.25
CHECKS = 50e-6
SECONDS = 1.0
GENERATOR = torch.Generator().manual_seed(0)
Call = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Family:
    """One meaning: inputs of several sizes, our loss, and who else computes the same."""

    inputs: Callable[..., tuple[Tensor, Tensor]]
    sizes: list[tuple[int, ...]]
    ours: dict[str, Call]
    peers: dict[str, Callable[[], Call]] = field(default_factory=dict)
    """Of the same meaning, in a function that imports them: not everyone has them all."""
    others: dict[str, Callable[[], Call]] = field(default_factory=dict)
    """Of another meaning or shown for comparison; they set no target."""
    memory: Callable[..., float] = lambda *size: 0.0
    """Megabytes that the hungriest peer needs; it is left out above 2000."""
    hungry: str = ""


# ---------------------------------------------------------------- inputs


def normal(*size: int) -> Tensor:
    return torch.randn(*size, generator=GENERATOR)


def masks(n: int, c: int, h: int, w: int) -> tuple[Tensor, Tensor]:
    return normal(n, c, h, w), torch.randint(c, (n, h, w), generator=GENERATOR)


def classes(n: int, c: int) -> tuple[Tensor, Tensor]:
    return normal(n, c), torch.randint(c, (n,), generator=GENERATOR)


def binary(n: int) -> tuple[Tensor, Tensor]:
    return normal(n), torch.randint(2, (n,), generator=GENERATOR).float()


def binary_mask(n: int, h: int, w: int) -> tuple[Tensor, Tensor]:
    return normal(n, 1, h, w), torch.randint(2, (n, 1, h, w), generator=GENERATOR).float()


def boxes(n: int) -> tuple[Tensor, Tensor]:
    corner, size, shift = (torch.rand(n, 2, generator=GENERATOR) for _ in range(3))
    target = torch.cat([corner, corner + size + 0.1], 1)
    return target + 0.1 * torch.cat([shift, 2 * shift], 1), target


def views(n: int, d: int) -> tuple[Tensor, Tensor]:
    return normal(n, d), normal(n, d)


def labelled(n: int, d: int, each: int) -> tuple[Tensor, Tensor]:
    return normal(n, d), torch.arange(n) // each


def numbers(n: int) -> tuple[Tensor, Tensor]:
    return 3 * normal(n), 3 * normal(n)


def evidence(n: int, c: int) -> tuple[Tensor, Tensor]:
    return 10 * torch.rand(n, c, generator=GENERATOR), classes(n, c)[1]


# ---------------------------------------------------------------- peers and short forms


@cache
def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def monai(loss: str, target: Callable[[Tensor], Tensor] = lambda y: y, **arguments: object) -> Call:
    criterion = getattr(module("monai.losses"), loss)(**arguments)
    return lambda x, y: criterion(x, target(y))


def kornia(loss: str, **arguments: object) -> Call:
    function = getattr(module("kornia.losses"), loss)
    return lambda x, y: function(x, y, **arguments)


def torchvision(loss: str, **arguments: object) -> Call:
    function = getattr(module("torchvision.ops"), loss)
    return lambda x, y: function(x, y, reduction="mean", **arguments)


def segmentation_models(loss: str, **arguments: object) -> Call:
    return getattr(module("segmentation_models_pytorch").losses, loss)(**arguments)


def metric_learning(loss: str, two_views: bool = True, **arguments: object) -> Call:
    criterion = getattr(module("pytorch_metric_learning.losses"), loss)(**arguments)
    if not two_views:
        return criterion
    return lambda a, b: criterion(torch.cat([a, b]), torch.arange(len(a)).repeat(2))


def batch_hard() -> Call:
    euclidean = module("pytorch_metric_learning.distances").LpDistance(normalize_embeddings=False)
    mean = module("pytorch_metric_learning.reducers").MeanReducer()
    mine = module("pytorch_metric_learning.miners").BatchHardMiner(distance=euclidean)
    losses = module("pytorch_metric_learning.losses")
    criterion = losses.TripletMarginLoss(margin=0.2, reducer=mean, distance=euclidean)
    return lambda x, y: criterion(x, y, mine(x, y))


def batch_all() -> Call:
    euclidean = module("pytorch_metric_learning.distances").LpDistance(normalize_embeddings=False)
    losses = module("pytorch_metric_learning.losses")
    return losses.TripletMarginLoss(margin=0.2, distance=euclidean)


def edl(loss: str) -> Call:
    function = getattr(module("edl_pytorch.loss"), loss)
    return lambda e, y: function(e + 1, F.one_hot(y, e.shape[1]))


def probly(loss: str, **arguments: object) -> Call:
    return getattr(module("probly.losses"), loss)(**arguments)


def short_ntxent(a: Tensor, b: Tensor) -> Tensor:
    z = F.normalize(torch.cat([a, b]), dim=1)
    similar = (z @ z.T / 0.1).masked_fill(torch.eye(len(z), dtype=torch.bool), -math.inf)
    return F.cross_entropy(similar, torch.arange(len(z)).roll(len(a)))


def short_batch_hard(x: Tensor, y: Tensor) -> Tensor:
    distance, same = torch.cdist(x, x), y[:, None] == y
    positive = same & ~torch.eye(len(x), dtype=torch.bool)
    farthest = distance.masked_fill(~positive, -math.inf).amax(1)
    return F.relu(farthest - distance.masked_fill(same, math.inf).amin(1) + 0.2).mean()


def looped_batch_hard(x: Tensor, y: Tensor) -> Tensor:
    """As often written: one anchor after the other."""
    distance, losses = torch.cdist(x, x), []
    for i in range(len(x)):
        same = y == y[i]
        farthest, nearest = distance[i][same].max(), distance[i][~same].min()
        losses.append(F.relu(farthest - nearest + 0.2))
    return torch.stack(losses).mean()


def one_hot_dice(x: Tensor, y: Tensor) -> Tensor:
    """As often written: a one-hot map and one sum a class."""
    p, t = x.softmax(1), F.one_hot(y, x.shape[1]).movedim(-1, 1)
    overlap = (p * t).sum((0, 2, 3))
    return (1 - (2 * overlap + 1) / (p.sum((0, 2, 3)) + t.sum((0, 2, 3)) + 1)).mean()


def where_huber(x: Tensor, y: Tensor) -> Tensor:
    size = (x - y).abs()
    return torch.where(size <= 1, 0.5 * size**2, size - 0.5).mean()


def short_log_cosh(x: Tensor, y: Tensor) -> Tensor:
    size = (x - y).abs()
    return (size + F.softplus(-2 * size) - math.log(2)).mean()


def with_logits(loss: Callable[[Tensor, Tensor], Tensor]) -> Call:
    return lambda x, y: loss(x.sigmoid(), y)


def in_column(loss: Call) -> Call:
    return lambda x, y: loss(x[:, None], y)


PICTURES = [(2, 3, 64, 64), (4, 4, 128, 128), (8, 21, 128, 128)]

FAMILIES = {
    "multi-class Dice": Family(
        masks,
        PICTURES,
        {"MultiClassDiceLoss": cl.MultiClassDiceLoss()},
        {
            "kornia dice, macro": lambda: kornia("dice_loss", average="macro"),
            "segmentation_models": lambda: segmentation_models("DiceLoss", mode="multiclass"),
        },
        {
            "one-hot form": lambda: one_hot_dice,
            "monai Dice (per image)": lambda: monai(
                "DiceLoss", lambda y: y[:, None], softmax=True, to_onehot_y=True
            ),
            "kornia dice, micro": lambda: kornia("dice_loss"),
        },
    ),
    "binary Dice": Family(
        binary_mask,
        [(4, 64, 64), (8, 256, 256)],
        {"DiceLoss": with_logits(cl.DiceLoss())},
        {"monai, batch": lambda: monai("DiceLoss", sigmoid=True, batch=True)},
    ),
    "softmax focal": Family(
        masks,
        PICTURES,
        {"FocalLoss": cl.FocalLoss()},
        {
            "monai": lambda: monai(
                "FocalLoss", lambda y: y[:, None], use_softmax=True, to_onehot_y=True
            ),
            "kornia": lambda: kornia("focal_loss", alpha=None, gamma=2.0, reduction="mean"),
        },
    ),
    "binary focal": Family(
        binary,
        [(1000,), (1_000_000,)],
        {"BinaryFocalLoss": cl.BinaryFocalLoss()},
        {
            "torchvision": lambda: torchvision("sigmoid_focal_loss"),
            "monai": lambda: in_column(monai("FocalLoss", lambda y: y[:, None], alpha=0.25)),
            "segmentation_models": lambda: segmentation_models(
                "FocalLoss", mode="binary", alpha=0.25
            ),
        },
    ),
    "GIoU": Family(
        boxes,
        [(64,), (65_536,)],
        {"GIoULoss": cl.GIoULoss()},
        {
            "torchvision": lambda: torchvision("generalized_box_iou_loss"),
            "monai": lambda: monai("BoxGIoULoss"),
        },
    ),
    "CIoU": Family(
        boxes,
        [(64,), (65_536,)],
        {"CIoULoss": cl.CIoULoss()},
        {"torchvision": lambda: torchvision("complete_box_iou_loss")},
    ),
    "NT-Xent": Family(
        views,
        [(64, 128), (256, 128), (1024, 128)],
        {"NTXentLoss": cl.NTXentLoss(0.1)},
        {
            "pytorch-metric-learning": lambda: metric_learning("NTXentLoss", temperature=0.1),
            "pml SupCon": lambda: metric_learning("SupConLoss", temperature=0.1),
            "monai": lambda: monai("ContrastiveLoss", temperature=0.1),
            "short form": lambda: short_ntxent,
        },
        memory=lambda n, d: 35e-6 * (2 * n) ** 3 * 0.5,
        hungry="pytorch-metric-learning, monai",
    ),
    "batch-hard triplets": Family(
        labelled,
        [(64, 128, 4), (256, 128, 4), (1024, 128, 4)],
        {"OnlineTripletLoss hard": cl.OnlineTripletLoss(margin=0.2)},
        {
            "pytorch-metric-learning": batch_hard,
            "short form": lambda: short_batch_hard,
        },
        {"loop over anchors": lambda: looped_batch_hard},
    ),
    "batch-all triplets": Family(
        labelled,
        [(64, 128, 4), (128, 128, 4)],
        {"OnlineTripletLoss all": cl.OnlineTripletLoss(margin=0.2, mining="all")},
        {"pytorch-metric-learning": batch_all},
    ),
    "cross-entropy": Family(
        classes,
        [(256, 10), (4096, 1000)],
        {"CrossEntropyLoss": cl.CrossEntropyLoss()},
        {"torch": lambda: F.cross_entropy},
    ),
    "label smoothing": Family(
        classes,
        [(256, 10), (4096, 1000)],
        {"LabelSmoothingCrossEntropy": cl.LabelSmoothingCrossEntropy()},
        {"torch": lambda: lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1)},
    ),
    "BCE with logits": Family(
        binary,
        [(1000,), (1_000_000,)],
        {"BCEWithLogitsLoss": cl.BCEWithLogitsLoss()},
        {"torch": lambda: F.binary_cross_entropy_with_logits},
    ),
    "label relaxation": Family(
        classes,
        [(256, 10), (4096, 100)],
        {"LabelRelaxationLoss": cl.LabelRelaxationLoss()},
        {"probly": lambda: probly("LabelRelaxationLoss", alpha=0.1)},
    ),
    "evidential MSE": Family(
        evidence,
        [(256, 10), (4096, 100)],
        {"EvidentialMSELoss": cl.EvidentialMSELoss()},
        {
            "edl_pytorch": lambda: edl("dirichlet_mse"),
            "probly": lambda: probly("EvidentialMSELoss"),
        },
    ),
    "evidential KL": Family(
        evidence,
        [(256, 10), (4096, 100)],
        {"EvidentialKLDivergence": cl.EvidentialKLDivergence()},
        {
            "edl_pytorch": lambda: edl("dirichlet_reg"),
            "probly": lambda: probly("EvidentialKLDivergence"),
        },
    ),
    "Huber": Family(
        numbers,
        [(10_000,), (1_000_000,)],
        {"HuberLoss": cl.HuberLoss()},
        {},
        {"torch, fused": lambda: F.huber_loss, "where form": lambda: where_huber},
    ),
    "log-cosh": Family(
        numbers,
        [(10_000,), (1_000_000,)],
        {"LogCoshLoss": cl.LogCoshLoss()},
        {},
        {"softplus form (no small errors)": lambda: short_log_cosh},
    ),
}


# ---------------------------------------------------------------- measuring


@dataclass
class Row:
    name: str
    call: Call
    own: bool
    sets_target: bool
    seconds: float = math.inf
    megabytes: float = math.inf


def once(call: Call, x: Tensor, y: Tensor) -> float:
    """CPU seconds of one forward and backward."""
    x.grad = None
    start = time.thread_time()
    call(x, y).backward()
    return time.thread_time() - start


def peak(call: Call, x: Tensor, y: Tensor) -> float:
    """Most megabytes alive at once in one forward and backward."""
    x.grad = None
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        call(x, y).backward()
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    alive = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        alive += event.nbytes()
        most = max(most, alive)
    return most / 1e6


def compare(rows: list[Row], x: Tensor, y: Tensor) -> None:
    """Fill in the medians, the rows taking turns."""
    inputs = [x.clone().requires_grad_() for _ in rows]
    times: list[list[float]] = [[] for _ in rows]
    for row, own_x in zip(rows, inputs, strict=True):
        once(row.call, own_x, y)
        row.megabytes = peak(row.call, own_x, y)
    start = time.thread_time()
    while len(times[0]) < 7 or (
        time.thread_time() - start < SECONDS * len(rows) and len(times[0]) < 200
    ):
        order = range(len(rows)) if len(times[0]) % 2 else reversed(range(len(rows)))
        for i in order:
            times[i].append(once(rows[i].call, inputs[i], y))
    for row, measured in zip(rows, times, strict=True):
        row.seconds = statistics.median(measured)


def available(family: Family, size: tuple[int, ...]) -> Iterator[Row]:
    for name, call in family.ours.items():
        yield Row(name, call, own=True, sets_target=False)
    for sets_target, peers in ((True, family.peers), (False, family.others)):
        for name, make in peers.items():
            if name in family.hungry and family.memory(*size) > 2000:
                print(f"   {name:34} left out: about {family.memory(*size) / 1000:.0f} GB")
                continue
            try:
                yield Row(name, make(), own=False, sets_target=sets_target)
            except ImportError as missing:
                print(f"   {name:34} NOT COMPARED: {missing.name} is not installed")


def missed(rows: list[Row]) -> list[str]:
    """Which targets our rows miss."""
    peers = [row for row in rows if row.sets_target]
    if not peers:
        return []
    fastest, leanest = min(r.seconds for r in peers), min(r.megabytes for r in peers)
    found = []
    for row in rows:
        if row.own and row.seconds > TARGET * fastest + CHECKS:
            found.append(f"{row.name}: {row.seconds / fastest:.2f} times the fastest peer's time")
        if row.own and row.megabytes > TARGET * leanest:
            found.append(f"{row.name}: {row.megabytes / leanest:.2f} times the leanest's memory")
    return found


def run(name: str, family: Family) -> list[str]:
    failures = []
    for size in family.sizes:
        print(f"\n{name} {size}")
        rows = list(available(family, size))
        x, y = family.inputs(*size)
        compare(rows, x, y)
        if missed(rows):
            compare(rows, x, y)
        ours = rows[0]
        for row in rows:
            print(
                f"   {row.name:34} {row.seconds * 1e3:10.3f} ms {row.megabytes:9.3f} MB"
                f"   ours is {ours.seconds / row.seconds:5.2f} x time,"
                f" {ours.megabytes / row.megabytes:5.2f} x memory"
            )
        failures += [f"{name} {size}: {failure}" for failure in missed(rows)]
    return failures


COMPILED: dict[str, tuple[Call, Call | None, Callable[..., tuple[Tensor, Tensor]]]] = {
    "HuberLoss": (cl.HuberLoss(), F.huber_loss, numbers),
    "SmoothL1Loss": (cl.SmoothL1Loss(), F.smooth_l1_loss, numbers),
    "LogCoshLoss": (cl.LogCoshLoss(), None, numbers),
    "QuantileLoss": (cl.QuantileLoss(0.9), None, numbers),
    "BinaryFocalLoss": (cl.BinaryFocalLoss(), None, binary),
}


def run_compiled() -> list[str]:
    """Losses whose formula is the lesson, compiled, beside the kernel that torch wrote by hand."""
    failures = []
    for name, (loss, fused, inputs) in COMPILED.items():
        print(f"\n{name}, 1 000 000 elements, compiled")
        rows = [Row("torch.compile", torch.compile(loss), own=True, sets_target=False)]
        if fused is not None:
            rows.append(Row("torch, fused", fused, own=False, sets_target=True))
        rows.append(Row("as written", loss, own=False, sets_target=False))
        x, y = inputs(1_000_000)
        compare(rows, x, y)
        if missed(rows):
            compare(rows, x, y)
        for row in rows:
            ratio = rows[0].seconds / row.seconds
            print(
                f"   {row.name:34} {row.seconds * 1e3:10.3f} ms   compiled is {ratio:5.2f} x time"
            )
        failures += [f"{name} compiled: {failure}" for failure in missed(rows)]
    return failures


def main(chosen: list[str]) -> int:
    torch.set_num_threads(1)
    unknown = set(chosen) - set(FAMILIES) - {"compiled"}
    if unknown:
        sys.exit(f"no such family: {', '.join(unknown)}; there are {', '.join(FAMILIES)}, compiled")
    failures = []
    for name, family in FAMILIES.items():
        if not chosen or name in chosen:
            failures += run(name, family)
    if not chosen or "compiled" in chosen:
        failures += run_compiled()
    print("\n" + "\n".join([*(f"MISSED {failure}" for failure in failures)] or ["all targets met"]))
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
