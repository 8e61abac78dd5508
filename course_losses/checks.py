"""Checks of arguments: each returns what it was given, or says what came and what to do."""

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import TypeVar

import torch
from torch import Tensor

Option = TypeVar("Option")


def within(name: str, value: float, interval: str) -> float:
    """A hyperparameter inside ``interval``, written as in mathematics: ``"[0, 1)"``."""
    low, high = map(float, interval[1:-1].split(","))
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number in {interval}, got {value!r}")
    number = float(value)
    above = number >= low if interval[0] == "[" else number > low
    below = number <= high if interval[-1] == "]" else number < high
    if not (above and below):
        raise ValueError(f"{name} must be in {interval}, got {number!r}")
    return number


def whole(name: str, value: int, least: int = 1) -> int:
    """A count of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def flag(name: str, value: bool) -> bool:
    """True or False, and nothing that merely counts as one of them."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


def one_of(name: str, value: Option, allowed: Iterable[Option]) -> Option:
    """One of the ``allowed`` values."""
    choices = tuple(allowed)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def floating(**tensors: Tensor) -> None:
    """Every argument is a floating-point tensor."""
    for name, tensor in tensors.items():
        _tensor(name, tensor)
        if not tensor.is_floating_point():
            raise TypeError(
                f"{name} must be floating point, got {tensor.dtype}: convert it with {name}.float()"
            )


def class_indices(num_classes: int, ignore_index: int | None = None, **tensors: Tensor) -> None:
    """Every argument holds integer classes from 0 to ``num_classes - 1``, or ``ignore_index``."""
    for name, tensor in tensors.items():
        _tensor(name, tensor)
        if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
            raise TypeError(
                f"{name} must hold integer class indices, got {tensor.dtype}: "
                f"convert it with {name}.long()"
            )
        if _hidden(tensor) or tensor.numel() == 0:
            continue
        classes = tensor.long()  # in uint8, 156 would pass for -100
        low, high = torch.aminmax(classes)
        if low >= 0 and high < num_classes:
            continue
        valid = (classes >= 0) & (classes < num_classes)
        if ignore_index is not None:
            valid |= classes == ignore_index
        if not valid.all():
            wrong = classes[~valid][0].item()
            ignored = "" if ignore_index is None else f", or mark what to ignore as {ignore_index}"
            raise ValueError(
                f"{name} must be in [0, {num_classes - 1}], got class {wrong}: count the classes "
                f"from 0, give the model an output for each{ignored}"
            )


def class_per_position(target: Tensor, ignore_index: int | None = None, **scores: Tensor) -> Tensor:
    """The target as int64: for scores of shape (N, C, ...), one class at each of (N, ...)."""
    floating(**scores)
    ((name, score),) = scores.items()
    if score.dim() < 2:
        raise ValueError(
            f"{name} must have shape (N, C, ...), got {tuple(score.shape)}: "
            "dimension 1 holds the classes"
        )
    not_empty(**scores)
    _tensor("target", target)
    positions = (score.shape[0], *score.shape[2:])
    if target.shape == score.shape:
        raise (TypeError if target.is_floating_point() else ValueError)(
            f"target must hold one class index per position, shape {positions}, got "
            f"{tuple(target.shape)} like {name}: pass target.argmax(dim=1) if it is one-hot"
        )
    class_indices(score.shape[1], ignore_index, target=target)
    if target.shape != positions:
        raise ValueError(
            f"target must have shape {positions} beside {name} of shape "
            f"{tuple(score.shape)}, got {tuple(target.shape)}"
        )
    return target.long()


def fits(target: Tensor, shape: Sequence[int]) -> bool:
    """Whether the target has a value for each entry of the shape (N, ...), or one class for each
    position of (N, C, ...)."""
    _tensor("target", target)
    positions = (*shape[:1], *shape[2:])
    classes = not target.is_floating_point() and tuple(target.shape) == positions
    return len(shape) > 0 and (classes or tuple(target.shape) == tuple(shape))


def dimensions(least: int, most: int | None = None, **tensors: Tensor) -> None:
    """Every argument has from ``least`` to ``most`` dimensions (exactly ``least`` without it)."""
    most = least if most is None else most
    for name, tensor in tensors.items():
        _tensor(name, tensor)
        if not least <= tensor.dim() <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise ValueError(
                f"{name} must have {wanted} dimensions, got shape {tuple(tensor.shape)}"
            )


def same_shape(**tensors: Tensor) -> None:
    """All arguments have exactly one shape: nothing is broadcast."""
    for name, tensor in tensors.items():
        _tensor(name, tensor)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        came = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        names = " and ".join(shapes)
        raise ValueError(
            f"{names} must have the same shape, got {came}: "
            "reshape or squeeze one of them, since broadcasting would compare the wrong pairs"
        )


def not_empty(**tensors: Tensor) -> None:
    """Every argument holds at least one value."""
    for name, tensor in tensors.items():
        _tensor(name, tensor)
        if tensor.numel() == 0:
            raise ValueError(f"{name} is empty, got shape {tuple(tensor.shape)}: skip this batch")


def probabilities(cure: str = "did you forget a sigmoid?", **tensors: Tensor) -> None:
    """Every value lies in [0, 1]. Not looked at under compile or vmap."""
    for name, tensor in tensors.items():
        _tensor(name, tensor)
        if _hidden(tensor) or tensor.numel() == 0:
            continue
        low, high = tensor.detach().amin().item(), tensor.detach().amax().item()
        if not (low >= 0 and high <= 1):
            advice = "find where the NaN began" if math.isnan(low) else cure
            raise ValueError(
                f"{name} must be in [0, 1], got values from {low:.8g} to {high:.8g}: {advice}"
            )


def zeros_and_ones(**tensors: Tensor) -> None:
    """Every value is 0 or 1, in whatever type. Not looked at under compile or vmap."""
    for name, tensor in tensors.items():
        _tensor(name, tensor)
        if _hidden(tensor):
            continue
        other = (tensor != 0) & (tensor != 1)
        if other.any():
            raise ValueError(f"{name} must be 0 or 1, got {tensor[other][0].item():.8g}")


def all_positive(**tensors: Tensor) -> None:
    """Every value is greater than 0. Not looked at under compile or vmap."""
    for name, tensor in tensors.items():
        _tensor(name, tensor)
        if _hidden(tensor) or tensor.numel() == 0:
            continue
        low = tensor.detach().amin().item()
        if not low > 0:
            cure = (
                "find where the NaN began"
                if math.isnan(low)
                else "let the network give its logarithm, or pass it through softplus"
            )
            raise ValueError(f"{name} must be positive, got {low:.8g}: {cure}")


def _hidden(tensor: Tensor) -> bool:
    """The values cannot be looked at: the call is being compiled or transformed by torch.func."""
    return torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def _tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor, got {type(value).__name__}: "
            f"convert it with torch.as_tensor({name})"
        )
