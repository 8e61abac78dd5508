"""The rules that hold for every loss of the package, over the rows of the tables."""

import copy
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import pytest
import torch
from losses.case import NO_LOSS, Case, Refused, cast, each, floats, with_floats
from losses.tables import CASES, REFUSED
from torch import nn
from torch.testing import assert_close

import course_losses
from course_losses import Loss

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
REDUCING = [case for case in CASES if case.shape is not None]
CLASSES = sorted(
    (c for c in vars(course_losses).values() if inspect.isclass(c) and issubclass(c, nn.Module)),
    key=lambda c: c.__name__,
)

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_reducing_case = pytest.mark.parametrize("case", REDUCING, ids=lambda case: case.name)


def value(case: Case, inputs: tuple, **arguments: object) -> torch.Tensor:
    torch.manual_seed(0)
    return case.loss(**arguments)(*inputs)


def with_gradients(inputs: tuple) -> tuple:
    for x in floats(inputs):
        labels = x.numel() > 0 and ((x == 0) | (x == 1)).all()  # no slope between 0 and 1
        x.requires_grad_(not labels)
    return inputs


@every_reducing_case
def test_none_gives_the_documented_shape(case):
    assert value(case, case.draw(), reduction="none").shape == case.shape


@every_reducing_case
def test_mean_and_sum_are_those_of_the_values(case):
    inputs = case.draw()
    values = value(case, inputs, reduction="none")
    assert_close(value(case, inputs, reduction="sum"), values.sum())
    if case.mean_of_values:
        assert_close(value(case, inputs, reduction="mean"), values.mean())


@every_reducing_case
def test_default_reduction_is_mean(case):
    inputs = case.draw()
    assert_close(value(case, inputs), value(case, inputs, reduction="mean"))
    assert value(case, inputs).dim() == 0


@every_reducing_case
def test_unknown_reduction_is_refused(case):
    message = "reduction must be one of 'mean', 'sum', 'none', got 'average'"
    with pytest.raises(ValueError, match=message):
        case.loss(reduction="average")


@every_case
def test_float32_agrees_with_float64(case):
    result = value(case, case.draw(torch.float32))
    assert result.dtype == torch.float32
    assert value(case, case.draw()).dtype == torch.float64
    assert_close(result.double(), value(case, case.draw()), rtol=1e-5, atol=1e-6)


@every_case
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32(case, dtype):
    rounded = cast(case.draw(), dtype)
    values = {} if case.shape is None else {"reduction": "none"}
    result = value(case, rounded, **values)
    assert result.dtype == dtype
    exact = value(case, cast(rounded, torch.float32), **values)
    assert_close(result, exact.to(dtype), rtol=0, atol=0)


@every_case
def test_autocast_changes_nothing(case):
    inputs = case.draw(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        inside = value(case, inputs)
    assert_close(inside, value(case, inputs), rtol=0, atol=0)


@pytest.mark.parametrize("case", [c for c in CASES if c.gradcheck], ids=lambda case: case.name)
def test_gradient_agrees_with_finite_differences(case):
    inputs = with_gradients(case.draw())
    leaves = floats(inputs)
    assert torch.autograd.gradcheck(lambda *x: value(case, with_floats(inputs, x)), leaves)
    if case.twice:
        assert torch.autograd.gradgradcheck(lambda *x: value(case, with_floats(inputs, x)), leaves)


@every_case
def test_gradient_is_finite_and_not_all_zero(case):
    inputs = with_gradients(case.draw(torch.float32))
    value(case, inputs).backward()
    gradients = [x.grad for x in floats(inputs) if x.grad is not None]
    assert all(g.isfinite().all() for g in gradients)
    assert any(g.abs().sum() > 0 for g in gradients)


@every_case
def test_compiles_into_one_graph(case):
    torch.compiler.reset()
    inputs = case.draw(torch.float32)
    compiled = torch.compile(case.loss(), fullgraph=True, backend="eager")
    torch.manual_seed(0)
    result = compiled(*inputs)
    assert_close(result, value(case, inputs))


@every_case
def test_non_contiguous_inputs_are_welcome(case):
    inputs = case.draw()
    scattered = each(lambda x: torch.stack([x, x], dim=-1)[..., 0] if x.dim() else x, inputs)
    assert_close(value(case, scattered), value(case, inputs))


@every_case
def test_inputs_are_not_modified(case):
    inputs = with_gradients(case.draw())
    before = copy.deepcopy([x.detach() for x in floats(inputs)])
    value(case, inputs).backward()
    for x, old in zip(floats(inputs), before, strict=True):
        assert_close(x.detach(), old, rtol=0, atol=0)


@pytest.mark.parametrize("case", [c for c in CASES if c.permutable], ids=lambda case: case.name)
def test_order_of_the_examples_does_not_matter(case):
    inputs = case.draw()
    assert_close(value(case, each(lambda x: x.flip(0), inputs)), value(case, inputs))


@every_case
def test_empty_batch(case):
    inputs = with_gradients(each(lambda x: x[:0], case.draw()))
    if case.empty is not None:
        with pytest.raises(case.empty, match="empty"):
            value(case, inputs)
    else:
        result = value(case, inputs)
        assert result == 0
        result.backward()


@every_case
@pytest.mark.parametrize("device", DEVICES)
def test_result_stays_on_the_device(case, device):
    inputs = case.draw(torch.float32)
    result = case.loss().to(device)(*each(lambda x: x.to(device), inputs))
    assert result.device.type == device


@every_case
def test_prints_and_warns_nothing(case, capfd, recwarn):
    value(case, with_gradients(case.draw())).backward()
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


@every_case
def test_repr_shows_the_hyperparameters(case):
    loss = case.loss()
    for name in inspect.signature(type(loss)).parameters:
        if isinstance(getattr(loss, name), int | float | str):
            assert f"{name}={getattr(loss, name)!r}" in repr(loss)


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_refused(row: Refused):
    with pytest.raises(row.error, match=row.message):
        row.call()


def test_every_exported_loss_has_a_case():
    covered = {type(module).__name__ for case in CASES for module in case.loss().modules()}
    missing = {c.__name__ for c in CLASSES} - NO_LOSS - covered
    assert missing == set(), "add a Case to the table in tests/losses/tables/"


def defined() -> Iterator[type[nn.Module]]:
    """The losses that the package's modules define, exported or not."""
    for info in pkgutil.iter_modules(course_losses.__path__, "course_losses."):
        for name, thing in vars(importlib.import_module(info.name)).items():
            if inspect.isclass(thing) and issubclass(thing, nn.Module) and name.endswith("Loss"):
                yield thing


def test_every_loss_with_a_formula_is_exported():
    complete = {c.__name__ for c in defined() if ".. math::" in (inspect.getdoc(c) or "")}
    assert len(complete) > 30
    missing = complete - set(course_losses.__all__)
    assert missing == set(), "export it in course_losses/__init__.py, and in __all__ there"


@pytest.mark.parametrize("loss", CLASSES, ids=lambda c: c.__name__)
def test_docstring_says_what_a_reader_needs(loss):
    doc = inspect.getdoc(loss)
    wanted = [] if loss is Loss else [".. math::", "Shape:", "Raises:", "Source:"]
    if inspect.signature(loss).parameters:
        wanted.append("Args:")
    missing = [part for part in wanted if not re.search(rf"^{re.escape(part)}", doc, re.M)]
    assert missing == []
    if loss is not Loss:
        assert ">>> " in doc, "the docstring ends with an example, which is run"
