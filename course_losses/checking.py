"""Checks for a loss you wrote yourself. Each returns a report that you can print and test."""

import copy
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import Node

from course_losses.checks import not_empty, whole, within

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TOLERANCE = 1e-5
"""Largest relative difference between autograd and finite differences that counts as equal."""
MOST_ELEMENTS = 100
"""An input with more elements is checked on this many, drawn with a fixed seed."""
VANISHING = 1e-4
"""A layer is vanishing when it changes less than this share of what the strongest one does."""
EXPLODING = 1e3
"""A layer is exploding when its gradient is this many times larger than its weights."""


# ---------------------------------------------------------------- gradients


def numerical_gradient(
    function: Callable[[Tensor], Tensor], point: Tensor, step: float | None = None
) -> Tensor:
    r"""The gradient of a scalar function by central differences, one element at a time.

    .. math::
        \frac{\partial f}{\partial x_i} \approx \frac{f(x + h e_i) - f(x - h e_i)}{2h}

    The error has two parts: :math:`h^2` of curvature and :math:`\varepsilon / h` of rounding.
    Their sum is least near :math:`h = \sqrt[3]{\varepsilon}`, the default (times the size of
    :math:`x_i`): 6e-6 in float64. In float32 it is 5e-3, and no step gives more than 4 digits.

    Args:
        function: from a tensor like ``point`` to one number.
        point: where, floating point. Its precision is used as it is.
        step: :math:`h`, > 0.

    Raises:
        ValueError: ``function`` gives more than one number, or ``step`` is not positive.
        TypeError: ``point`` is not a floating-point tensor.

    >>> numerical_gradient(lambda x: (x**3).sum(), torch.tensor([1.0, 2.0], dtype=torch.float64))
    tensor([ 3.0000, 12.0000], dtype=torch.float64)
    """
    if not (isinstance(point, Tensor) and point.is_floating_point()):
        raise TypeError(f"point must be a floating-point tensor, got {_kind(point)}")
    if step is not None:
        within("step", step, "(0, inf)")
    point = point.detach().clone(memory_format=torch.contiguous_format)

    def value() -> float:
        result = function(point)
        if result.numel() != 1:
            raise ValueError(
                f"function must give one number, got shape {tuple(result.shape)}: sum it"
            )
        return float(result)

    with torch.no_grad():
        here = value()
        slopes = [
            _Slopes.at(value, here, point, i, step or _step(point, i)).central
            for i in range(point.numel())
        ]
    return torch.tensor(slopes, dtype=point.dtype, device=point.device).reshape(point.shape)


@dataclass(frozen=True)
class _Slopes:
    """Finite differences of one element to its left, to its right and across."""

    left: float
    right: float

    @property
    def central(self) -> float:
        return (self.left + self.right) / 2

    @property
    def jump(self) -> float:
        return abs(self.right - self.left)

    @property
    def size(self) -> float:
        return max(abs(self.left), abs(self.right))

    def between(self, slope: float, slack: float) -> bool:
        return min(self.left, self.right) - slack <= slope <= max(self.left, self.right) + slack

    @classmethod
    def at(
        cls, value: Callable[[], float], here: float, point: Tensor, index: int, step: float
    ) -> "_Slopes":
        """At the border of its domain, where one side raises, from the other; NaN if both do."""
        elements = point.view(-1)
        start = elements[index].item()

        def moved(distance: float) -> tuple[float, float]:
            elements[index] = start + distance
            try:
                found = value()
                return elements[index].item() - start, math.inf if math.isnan(found) else found
            except (ValueError, RuntimeError):
                return distance, math.nan
            finally:
                elements[index] = start

        (up, above), (down, below) = moved(step), moved(-step)
        left = (here - below) / -down if down else math.nan
        right = (above - here) / up if up else math.nan
        if math.isnan(left) and up:
            twice, far = moved(2 * step)
            left = right = 2 * right - (far - here) / twice
        elif math.isnan(right) and down:
            twice, far = moved(-2 * step)
            left = right = 2 * left - (far - here) / twice
        return cls(left, right)


def _step(point: Tensor, index: int) -> float:
    """The cube root of the precision, times the size of the element or of its neighbours."""
    typical = point.abs().mean().item()
    size = max(abs(point.view(-1)[index].item()), typical) or 1.0
    return size * math.cbrt(torch.finfo(point.dtype).eps)


@dataclass(frozen=True)
class InputCheck:
    """What :func:`check_gradients` found for one input or parameter."""

    name: str
    elements: int
    autograd: Tensor
    """The gradients of the checked elements."""
    differences: Tensor
    """Their finite differences."""
    kinks: Tensor
    """Which of them sit on a kink, where every slope between left and right is right."""
    error: float
    """The largest relative error away from kinks."""
    verdict: str
    """"agrees", "kink", "fixed", "wrong", "not finite" or "float32"."""
    reason: str

    @property
    def ok(self) -> bool:
        return self.verdict in ("agrees", "kink", "fixed")


@dataclass(frozen=True)
class GradientReport:
    """The result of :func:`check_gradients`: true when every input passed."""

    value: float
    inputs: tuple[InputCheck, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.inputs)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        rows = [("input", "checked", "autograd", "differences", "rel. error", "verdict")]
        for check in self.inputs:
            worst = _worst(check)
            error = f"{check.error:.1e}" if not check.error < 1e-7 else "< 1e-07"
            rows.append(
                (
                    check.name,
                    f"{len(check.autograd)} of {check.elements}",
                    _short(check.autograd[worst].item()),
                    _short(check.differences[worst].item()),
                    error,
                    check.verdict,
                )
            )
        lines = [f"value {self.value:.4g}, in float64", *_table(rows)]
        lines += [f"{check.name}: {check.reason}" for check in self.inputs if check.reason]
        lines += [f"note: {note}" for note in self.notes]
        lines.append(
            "Not seen by this check: a wrong formula, since its gradient is right for what it "
            "computes; and every branch that these inputs do not reach."
        )
        return "\n".join(lines)

    __repr__ = __str__

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Autograd against finite differences: whatever leaves the diagonal is wrong."""
        ax = _axes(ax)
        for check in self.inputs:
            sound = check.autograd.isfinite() & ~check.kinks
            ax.scatter(check.differences[sound], check.autograd[sound], s=18, label=check.name)
            if check.kinks.any():
                ax.scatter(
                    check.differences[check.kinks],
                    check.autograd[check.kinks],
                    marker="x",
                    label=f"{check.name}, on a kink",
                )
        ax.axline((0, 0), slope=1, color="0.6", linewidth=1, zorder=0)
        ax.set(xlabel="finite differences", ylabel="autograd", title="Gradient check")
        ax.legend()
        return ax


def check_gradients(loss: Callable[..., Tensor], *inputs: Any) -> GradientReport:
    """Compare autograd with central differences, for every input of a loss and its parameters.

    Everything is converted to float64 first, since in float32 a right gradient looks wrong.
    Random losses are run under one fixed seed. An element that sits on a kink (L1 at 0) passes
    when autograd lies between the slopes on its two sides. A report says in words what a
    mismatch points at: a stray ``detach``, a hand-written backward, a conversion to float32.

    It cannot see a wrong formula: autograd differentiates what you wrote, not what you meant.
    It sees only the branches that the inputs reach. So give it inputs on every side of every
    threshold, and compare values with a reference as well.

    Args:
        loss: a loss or any function of tensors. A module is copied, and its parameters that
            need a gradient are checked, too.
        inputs: what ``loss`` is called with. Floating-point tensors are checked, also inside
            a dict; if some of them require a gradient, only those.

    Raises:
        ValueError: no input has anything to check, or the loss gives no tensor.

    >>> from course_losses import HuberLoss
    >>> pred, target = torch.tensor([0.5, 3.0, 1.0]), torch.tensor([0.0, 1.0, 1.1])
    >>> report = check_gradients(HuberLoss(), pred, target)
    >>> report.ok, [check.verdict for check in report.inputs]
    (True, ['agrees', 'agrees'])
    """
    call, leaves, notes = _in_float64(loss, inputs)

    def run() -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            result = call()
        if not isinstance(result, Tensor):
            raise ValueError(f"loss must give a tensor, got {_kind(result)}")
        return result

    result = run()
    if result.numel() != 1:
        notes.append(f"the loss gives shape {tuple(result.shape)}: its sum is checked")
    total = result.sum()
    graph = _graph(total)
    narrowed = any("ToCopy" in node.name() for node in graph) or total.dtype != torch.float64
    own = sorted({n.name() for n in graph if isinstance(n, BackwardCFunction)})
    gradients: tuple[Tensor | None, ...] = (None,) * len(leaves)
    if total.requires_grad:
        gradients = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)

    def value() -> float:
        return run().sum().item()

    with torch.no_grad():
        checks = tuple(
            _check(name, leaf, gradient, value, narrowed, own)
            for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True)
        )
    return GradientReport(total.item(), checks, tuple(notes))


def _in_float64(
    loss: Callable[..., Tensor], inputs: tuple[Any, ...]
) -> tuple[Callable[[], Tensor], dict[str, Tensor], list[str]]:
    """The call on copies in float64, the tensors to check by name, and what there is to say."""
    arguments: list[Any] = [dict(x) if isinstance(x, Mapping) else x for x in inputs]
    spots: list[tuple[str, Any, Any]] = []
    for i, name in enumerate(_argument_names(loss, len(inputs))):
        if isinstance(arguments[i], dict):
            spots += [(f"{name}[{key!r}]", arguments[i], key) for key in arguments[i]]
        else:
            spots.append((name, arguments, i))
    floats = {
        name: (holder, key)
        for name, holder, key in spots
        if isinstance(holder[key], Tensor) and holder[key].is_floating_point()
    }
    wanted = [name for name, (holder, key) in floats.items() if holder[key].requires_grad]
    narrow = [name for name, (holder, key) in floats.items() if holder[key].itemsize < 8]
    notes = [f"{', '.join(narrow)} came in less than float64 and were converted"] if narrow else []
    leaves: dict[str, Tensor] = {}
    for name, (holder, key) in floats.items():
        holder[key] = holder[key].detach().double().clone(memory_format=torch.contiguous_format)
        if name in (wanted or floats):
            not_empty(**{name: holder[key]})
            leaves[name] = holder[key].requires_grad_()
    if isinstance(loss, nn.Module):
        loss = copy.deepcopy(loss).double()
        parameters = ((n, p) for n, p in loss.named_parameters() if p.requires_grad and p.numel())
        for name, parameter in parameters:
            parameter.data = parameter.data.contiguous()
            leaves[name] = parameter
    if not leaves:
        raise ValueError("check_gradients needs a floating-point tensor among the inputs")
    return lambda: loss(*arguments), leaves, notes


def _argument_names(loss: Callable[..., Tensor], count: int) -> list[str]:
    try:
        named = inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss)
    except (TypeError, ValueError):
        return [f"input {i}" for i in range(count)]
    names = [p.name for p in named.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    return [names[i] if i < len(names) else f"input {i}" for i in range(count)]


def _graph(result: Tensor) -> set[Node]:
    """Every node of the backward graph."""
    found: set[Node] = set()
    waiting = [result.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting += [following for following, _ in node.next_functions]
    return found


def _check(
    name: str,
    leaf: Tensor,
    gradient: Tensor | None,
    value: Callable[[], float],
    narrowed: bool,
    own: list[str],
) -> InputCheck:
    count = leaf.numel()
    chosen = torch.arange(count)
    if count > MOST_ELEMENTS:
        order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
        chosen = order[:MOST_ELEMENTS].sort().values
    exact = torch.zeros_like(leaf) if gradient is None else gradient
    autograd = exact.detach().reshape(-1)[chosen.to(leaf.device)].cpu()
    here = value()
    differences, kinks, errors = [], [], []
    for index, slope in zip(chosen.tolist(), autograd.tolist(), strict=True):
        difference, kink, gap = _compare(value, leaf, index, slope, here, narrowed)
        differences.append(difference)
        kinks.append(kink)
        errors.append(gap)
    found = torch.tensor(differences, dtype=torch.float64)
    on_kink = torch.tensor(kinks)
    error = torch.tensor(errors, dtype=torch.float64)
    wrong = ~(error <= _tolerance(narrowed))
    verdict, reason = "agrees", ""
    if not math.isfinite(here) or not (autograd.isfinite().all() and not found.isinf().any()):
        verdict = "not finite"
        reason = _why_not_finite(here, autograd)
    elif found.isnan().all():
        verdict = "fixed"
        reason = "not checked: the loss refuses every other value of this input"
    elif wrong.any():
        verdict = "wrong"
        reason = _why_wrong(autograd, found, wrong, gradient is None, own)
    elif narrowed:
        verdict = "float32"
        reason = (
            "the loss converts to a lower precision inside. The gradient agrees to 1e-2 at a "
            "large step, and no more can be checked: remove the conversion (.float(), .half())"
        )
    elif on_kink.any():
        verdict = "kink"
        reason = (
            f"{int(on_kink.sum())} of {len(on_kink)} elements sit on a kink: the slopes on the two "
            "sides differ and autograd lies between. No bug, and no evidence either: move them"
        )
    elif not autograd.any():
        reason = "every gradient is 0, and the value does not change: these inputs teach nothing"
    away = error[~on_kink] if (~on_kink).any() else error
    return InputCheck(name, count, autograd, found, on_kink, away.max().item(), verdict, reason)


def _compare(
    value: Callable[[], float], leaf: Tensor, index: int, slope: float, here: float, narrowed: bool
) -> tuple[float, bool, float]:
    """Finite difference, whether there is a kink, and the relative error of ``slope``."""
    precision = torch.finfo(torch.float32 if narrowed else torch.float64).eps
    tolerance = _tolerance(narrowed)
    best = (math.nan, False, math.inf)
    jump = math.inf
    for attempt, step in enumerate(_steps(leaf, index, narrowed)):
        slopes = _Slopes.at(value, here, leaf, index, step)
        noise = 4 * precision * abs(here) / step
        scale = max(abs(slope), abs(slopes.central))
        if attempt and noise > 1e-3 * max(scale, slopes.size):
            break
        gap = abs(slope - slopes.central) - noise
        error = max(0.0, gap / scale) if scale > 0 else 0.0
        bent = slopes.jump > 1e-3 * slopes.size + 4 * noise
        stays = 0.5 * jump < slopes.jump < 2 * jump
        if bent and stays and slopes.between(slope, tolerance * scale + noise):
            return slopes.central, True, 0.0
        if math.isfinite(gap) and error < best[2] / 2:
            best = slopes.central, False, error
        if best[2] <= tolerance and not (bent and attempt == 0):
            break
        jump = slopes.jump
    return best


def _steps(leaf: Tensor, index: int, narrowed: bool) -> list[float]:
    """The best step for a smooth loss, then smaller ones, to get past a kink or a steep place."""
    best = _step(leaf, index)
    if narrowed:
        return [1e3 * best]
    own = abs(leaf.view(-1)[index].item()) * math.cbrt(torch.finfo(leaf.dtype).eps)
    return [best / 10**k for k in range(7)] + [own] * (own > 0)


def _tolerance(narrowed: bool) -> float:
    return 1e-2 if narrowed else TOLERANCE


def _why_not_finite(here: float, autograd: Tensor) -> str:
    if not math.isfinite(here):
        return f"the loss is {here} here: look for log(0), exp of a large number, 0/0"
    if not autograd.isfinite().all():
        bad = int((~autograd.isfinite()).sum())
        return (
            f"the value is finite and {bad} of {len(autograd)} gradients are not: an infinity is "
            "multiplied by 0 on the way back. Look for a root or a norm at 0, and for a "
            "torch.where whose unused branch overflows"
        )
    return "the loss is not finite on either side of these inputs"


def _why_wrong(autograd: Tensor, found: Tensor, wrong: Tensor, absent: bool, own: list[str]) -> str:
    suspect = (
        f"the backward of {' or '.join(own)} is hand-written: look there"
        if own
        else "torch's own operations are right, so look for detach(), .data, .item(), numpy or "
        "no_grad() (on purpose in a few losses, such as CIoU)"
    )
    if absent or not autograd.any():
        return f"the value changes with this input and no gradient arrives: {suspect}"
    if found.abs().max() < TOLERANCE * autograd.abs().max():
        return (
            "autograd reports a slope and the value does not change: a threshold, a rounding or "
            f"an argmax with a made-up gradient; {suspect}"
        )
    live = (autograd != 0) | (found != 0)
    share = f"{int(wrong.sum())} of {int(live.sum())} gradients that are not 0 are wrong"
    ratios = autograd[wrong] / found[wrong]
    if ratios.isfinite().all() and ratios.max() - ratios.min() < 1e-3:
        factor = ratios.mean().item()
        flipped = abs(factor + 1) < 1e-3
        share += ": sign flipped" if flipped else f", each {factor:.4g} times what it should be"
    if (live & ~wrong).any():
        share += ". The others agree, so one branch or one term is at fault"
    return f"{share}; {suspect}"


# ---------------------------------------------------------------- the value of a loss


@dataclass(frozen=True)
class ValueReport:
    """The result of :func:`check_loss`: true when nothing is wrong with the value."""

    name: str
    value: float | None
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        shown = "" if self.value is None else f" {self.value:.4g}"
        lines = [f"{self.name}{shown}: {'ok' if self.ok else 'WRONG'}"]
        lines += [f"  wrong: {problem}" for problem in self.problems]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    __repr__ = __str__


def check_loss(
    value: Tensor | float, name: str = "loss", lower_bound: float = -math.inf
) -> ValueReport:
    """Say what is wrong with the value of a loss before you call ``backward``.

    A negative loss is no bug: densities above 1, a Wasserstein critic and learned task weights
    all give them. Pass the documented ``lower_bound`` of your loss to test against that.

    Args:
        value: what the loss returned.
        name: how the report calls it.
        lower_bound: the least value that this loss can have.

    >>> check_loss(torch.tensor(-2.3, requires_grad=True), "Gaussian NLL")
    Gaussian NLL -2.3: ok
      note: negative, which many losses may be (a density, a critic, learned weights)
    >>> check_loss(torch.tensor([0.5, float("nan")])).ok
    False
    """
    problems, notes = [], []
    if not isinstance(value, Tensor):
        notes.append(f"{_kind(value)} carries no graph: call backward on the tensor instead")
        value = torch.tensor(float(value), dtype=torch.float64)
    elif not value.requires_grad:
        notes.append("no graph, so backward would fail: right while evaluating, else detached")
    number = value.detach()
    if value.dim() > 0:
        problems.append(
            f"shape {tuple(value.shape)} where one number is wanted: take its mean or its sum"
        )
    if number.numel() == 0:
        return ValueReport(name, None, tuple(problems), tuple(notes))
    nan, inf = number.isnan(), number.isinf()
    least = number.min().item()
    if nan.any():
        problems.append(
            f"{_share(nan)}NaN: 0/0, inf - inf, 0 * log(0) or a NaN in the input "
            "(torch.autograd.set_detect_anomaly(True) names the operation)"
        )
    if inf.any():
        problems.append(
            f"{_share(inf)}infinite: log(0) or an overflow. Work with logits and logsumexp; "
            f"{number.dtype} ends at {torch.finfo(number.dtype).max:.2g}"
        )
    if least < lower_bound:
        problems.append(
            f"{least:.4g} is below the least possible value {lower_bound:g}: look for a flipped "
            "sign, a probability above 1, or weights that are negative"
        )
    elif least < 0:
        notes.append("negative, which many losses may be (a density, a critic, learned weights)")
    if not number.any():
        notes.append("exactly 0: a perfect fit, or everything was masked out")
    single = number.item() if number.numel() == 1 else number.double().mean().item()
    return ValueReport(name, single, tuple(problems), tuple(notes))


class RandomGuess(float):
    """The cross-entropy of a uniform guess; prints beside what random logits give."""

    num_classes: int
    with_normal_logits: float
    """The expected loss when logits are drawn from a standard normal."""

    def __str__(self) -> str:
        return (
            f"{self.num_classes} classes: a uniform guess costs log({self.num_classes}) = "
            f"{float(self):.4g} (equal logits, or a fresh network)\n"
            f"standard normal logits cost {self.with_normal_logits:.4g}: they are confident, "
            "and wrong most of the time"
        )

    __repr__ = __str__


def random_guess_loss(num_classes: int) -> RandomGuess:
    r"""The cross-entropy that a classifier starts from: :math:`\log C` for a uniform guess.

    A first loss far above it means that the network starts out confident, or that targets and
    classes do not match. Logits drawn from ``torch.randn`` cost more, about
    :math:`\log C + \tfrac12`, since :math:`\mathbb{E}[\log \sum e^z] > \log C`.

    Args:
        num_classes: how many classes, at least 2.

    >>> random_guess_loss(10)
    10 classes: a uniform guess costs log(10) = 2.303 (equal logits, or a fresh network)
    standard normal logits cost 2.729: they are confident, and wrong most of the time
    """
    whole("num_classes", num_classes, least=2)
    report = RandomGuess(math.log(num_classes))
    report.num_classes = num_classes
    report.with_normal_logits = _expected_logsumexp(num_classes)
    return report


def _expected_logsumexp(count: int) -> float:
    r"""Of standard normal logits, as one integral: with :math:`S = \sum e^{z}`,
    :math:`E[\log S] = \int_0^\infty (e^{-t} - E[e^{-t e^z}]^n) / t \; dt`."""
    u = torch.linspace(-40, 12, 1041, dtype=torch.float64)
    z = torch.linspace(-12, 12, 481, dtype=torch.float64)
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    transform = torch.trapezoid(density * torch.exp(-torch.exp(u[:, None] + z)), z)
    return torch.trapezoid(torch.exp(-torch.exp(u)) - transform**count, u).item()


# ---------------------------------------------------------------- gradients of a whole model


@dataclass(frozen=True)
class LayerFlow:
    """The gradient of one layer: all parameters that one module owns."""

    name: str
    gradient: float
    """Norm of its gradients."""
    strength: float
    """That norm divided by the norm of its weights."""
    zeros: float
    """Share of the gradients that are exactly 0."""
    verdict: str
    """"ok", "dead", "vanishing", "exploding", "not finite", "no gradient" or "frozen"."""


@dataclass(frozen=True)
class FlowReport:
    """The result of :func:`gradient_flow`: true when every layer that learns gets a gradient."""

    layers: tuple[LayerFlow, ...]
    without_gradient: tuple[str, ...]
    """Parameters that require a gradient and have none."""
    advice: tuple[str, ...] = field(repr=False)

    @property
    def ok(self) -> bool:
        return not self.advice

    def __bool__(self) -> bool:
        return self.ok

    def named(self, verdict: str) -> tuple[str, ...]:
        """The layers with this verdict."""
        return tuple(layer.name for layer in self.layers if layer.verdict == verdict)

    def __str__(self) -> str:
        rows = [("layer", "gradient", "per weight", "zeros", "verdict")]
        rows += [
            (
                layer.name,
                _short(layer.gradient),
                _short(layer.strength),
                f"{layer.zeros:.0%}",
                layer.verdict,
            )
            for layer in self.layers
        ]
        return "\n".join([*_table(rows), *self.advice])

    __repr__ = __str__

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """One bar a layer, on a logarithmic scale, from the input to the output."""
        ax = _axes(ax)
        colours = {"ok": "C0", "frozen": "0.7", "vanishing": "C1", "exploding": "C3"}
        shown = [s.strength for s in self.layers if 0 < s.strength < math.inf]
        floor = min(shown, default=1.0) / 10
        for verdict in dict.fromkeys(layer.verdict for layer in self.layers):
            rows = [i for i, layer in enumerate(self.layers) if layer.verdict == verdict]
            strengths = [self.layers[i].strength for i in rows]
            widths = [s if 0 < s < math.inf else floor for s in strengths]
            ax.barh(rows, widths, color=colours.get(verdict, "black"), label=verdict)
        ax.set_yticks(range(len(self.layers)), [layer.name for layer in self.layers])
        ax.invert_yaxis()
        ax.set(xscale="log", xlabel="norm of the gradient / norm of the weights")
        ax.set_title("Gradient flow")
        ax.legend()
        return ax


def gradient_flow(model: nn.Module) -> FlowReport:
    """Which layers learn: call it after ``backward`` and before the optimiser's step.

    A layer's strength is the norm of its gradient divided by the norm of its weights (by 1 if
    they are all 0): the relative change of one step of SGD at a learning rate of 1. "dead":
    every gradient is exactly 0. "exploding": more than 1000. "vanishing": less than 1/10 000 of
    the strongest layer that does not explode, or so little that float32 would round it away.

    Args:
        model: whose parameters have their gradients.

    Raises:
        ValueError: ``model`` has no parameters.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> _ = nn.init.constant_(model[0].bias, -10.0)
    >>> model(torch.ones(4, 2)).sum().backward()
    >>> gradient_flow(model).named("dead")
    ('0',)
    """
    groups = {
        name or type(module).__name__: list(module.named_parameters(recurse=False))
        for name, module in model.named_modules()
    }
    groups = {name: parameters for name, parameters in groups.items() if parameters}
    if not groups:
        raise ValueError(f"model must have parameters, got {type(model).__name__} without any")
    without = tuple(
        name for name, p in model.named_parameters() if p.requires_grad and p.grad is None
    )
    measured = [_measure(name, [p for _, p in group]) for name, group in groups.items()]
    strongest = max((flow.strength for flow in measured if flow.strength <= EXPLODING), default=0.0)
    layers = tuple(
        LayerFlow(**{**vars(flow), "verdict": _verdict(flow, strongest)}) for flow in measured
    )
    return FlowReport(layers, without, tuple(_advice(layers, without, len(groups))))


def _measure(name: str, parameters: list[nn.Parameter]) -> LayerFlow:
    """Strength and norm of a layer; its verdict so far is only what needs no other layer."""
    gradients = [p.grad.detach().double() for p in parameters if p.grad is not None]
    if not gradients:
        frozen = not any(p.requires_grad for p in parameters)
        return LayerFlow(name, 0.0, 0.0, 0.0, "frozen" if frozen else "no gradient")
    flat = torch.cat([g.reshape(-1).cpu() for g in gradients])
    weights = torch.cat([p.detach().double().reshape(-1).cpu() for p in parameters])
    norm = flat.norm().item()
    zeros = (flat == 0).double().mean().item()
    return LayerFlow(name, norm, norm / (weights.norm().item() or 1.0), zeros, "")


def _verdict(flow: LayerFlow, strongest: float) -> str:
    if flow.verdict:
        return flow.verdict
    if not math.isfinite(flow.gradient):
        return "not finite"
    if flow.gradient == 0:
        return "dead"
    if flow.strength > EXPLODING:
        return "exploding"
    lost = torch.finfo(torch.float32).eps / 2
    return "vanishing" if flow.strength < max(VANISHING * strongest, lost) else "ok"


def _advice(layers: tuple[LayerFlow, ...], without: tuple[str, ...], groups: int) -> Iterator[str]:
    words = {
        "dead": "every gradient is 0: units that never fire (ReLU below 0 for every example), "
        "a saturated output, or a loss that is flat here",
        "vanishing": "next to no gradient arrives: saturating activations or too many layers "
        "without a shortcut; try ReLU, normalisation, residual connections",
        "exploding": "one step would replace the weights: clip the norm of the gradient, lower "
        "the learning rate, look at the initialisation",
        "not finite": "NaN or infinite: look at the loss with check_loss, then with "
        "torch.autograd.set_detect_anomaly(True)",
    }
    if all(layer.verdict in ("no gradient", "frozen") for layer in layers) and without:
        yield "no gradient anywhere: call backward first, and look before zero_grad"
        return
    for verdict, meaning in words.items():
        names = [layer.name for layer in layers if layer.verdict == verdict]
        if names:
            yield f"{verdict}: {', '.join(names)}: {meaning}"
    if without:
        yield (
            f"no gradient: {', '.join(without)}: not used by the loss, or cut off by detach() "
            "or no_grad()"
        )


# ---------------------------------------------------------------- printing


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _short(number: float) -> str:
    return f"{number:.4g}"


def _share(mask: Tensor) -> str:
    return "" if mask.numel() == 1 else f"{int(mask.sum())} of {mask.numel()} values are "


def _worst(check: InputCheck) -> int:
    gap = (check.autograd - check.differences).abs().nan_to_num(nan=math.inf)
    return int(gap.masked_fill(check.kinks, -1.0).argmax())


def _kind(value: object) -> str:
    return f"tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__


def _axes(ax: "Axes | None") -> "Axes":
    import matplotlib.pyplot as plt  # here, since most calls draw nothing

    return plt.subplots()[1] if ax is None else ax
