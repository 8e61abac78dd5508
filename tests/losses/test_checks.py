"""The checks of arguments, each from both sides of its border."""

import numpy as np
import pytest
import torch

from course_losses import checks


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ("(0, inf)", [1e-300, 1, 1e300], [0, -1, float("inf"), float("nan")]),
        ("[0, 1)", [0, 0.999], [-1e-9, 1, 1 + 1e-7]),
        ("(0, 1]", [1e-9, 1], [0, 1.0000001]),
        ("[-2, 3]", [-2, 3], [-2.1, 3.1]),
    ],
)
def test_within(interval, inside, outside):
    for value in inside:
        assert checks.within("rate", value, interval) == value
    for value in outside:
        with pytest.raises(ValueError, match=r"rate must be in .* got") as caught:
            checks.within("rate", value, interval)
        assert repr(float(value)) in str(caught.value)


@pytest.mark.parametrize("value", [True, "1", None, torch.ones(1)])
def test_within_wants_a_number(value):
    with pytest.raises(TypeError, match="rate must be a number"):
        checks.within("rate", value, "(0, inf)")
    assert isinstance(checks.within("rate", np.float32(0.5), "(0, inf)"), float)


def test_whole():
    assert checks.whole("tasks", np.int64(3)) == 3
    assert checks.whole("k", 0, least=0) == 0
    for wrong in (True, 2.0, "2"):
        with pytest.raises(TypeError, match="tasks must be an integer"):
            checks.whole("tasks", wrong)
    with pytest.raises(ValueError, match="tasks must be at least 1, got 0"):
        checks.whole("tasks", 0)


def test_flag_and_one_of():
    assert checks.flag("full", True) is True
    for wrong in (1, "sum", None):
        with pytest.raises(TypeError, match="full must be True or False, got"):
            checks.flag("full", wrong)
    assert checks.one_of("mode", "a", ["a", "b"]) == "a"
    with pytest.raises(ValueError, match="mode must be one of 'a', 'b', got 'c'"):
        checks.one_of("mode", "c", ["a", "b"])


@pytest.mark.parametrize(
    "check",
    [
        checks.floating,
        checks.same_shape,
        checks.not_empty,
        checks.probabilities,
        checks.zeros_and_ones,
        checks.all_positive,
        lambda **x: checks.dimensions(1, **x),
        lambda **x: checks.class_indices(3, **x),
    ],
)
def test_every_check_of_tensors_wants_tensors(check):
    with pytest.raises(TypeError, match=r"x must be a torch.Tensor, got list: convert"):
        check(x=[1.0])


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_floating(dtype):
    with pytest.raises(TypeError, match="pred must be floating point"):
        checks.floating(target=torch.zeros(1), pred=torch.zeros(1, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_class_indices_of_any_integer_type(dtype):
    checks.class_indices(100, target=torch.tensor([0, 99], dtype=dtype))
    with pytest.raises(ValueError, match=r"target must be in \[0, 98\], got class 99"):
        checks.class_indices(99, target=torch.tensor([0, 99], dtype=dtype))


def test_class_indices_at_the_edges():
    checks.class_indices(256, target=torch.tensor([255], dtype=torch.uint8))
    checks.class_indices(3, -100, target=torch.tensor([2, -100]))
    with pytest.raises(ValueError, match=r"got class 156: .* mark what to ignore as -100"):
        checks.class_indices(3, -100, target=torch.tensor([156], dtype=torch.uint8))
    with pytest.raises(ValueError, match="got class -1"):
        checks.class_indices(3, target=torch.tensor([-1]))
    for wrong in (torch.zeros(2), torch.zeros(2, dtype=torch.bool)):
        with pytest.raises(TypeError, match="target must hold integer class indices"):
            checks.class_indices(3, target=wrong)


def test_dimensions():
    checks.dimensions(2, pred=torch.zeros(1, 1))
    checks.dimensions(2, 3, pred=torch.zeros(1, 1, 1))
    with pytest.raises(ValueError, match=r"pred must have 2 to 3 dimensions, got shape \(1,\)"):
        checks.dimensions(2, 3, pred=torch.zeros(1))
    with pytest.raises(ValueError, match="pred must have 2 dimensions"):
        checks.dimensions(2, pred=torch.zeros(1, 1, 1))


def test_probabilities():
    checks.probabilities(probs=torch.tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"from 0 to 1.00001: did you forget a sigmoid"):
        checks.probabilities(probs=torch.tensor([0.0, 1.00001], dtype=torch.float64))
    with pytest.raises(ValueError, match=r"from -0.5 to 0.5"):
        checks.probabilities(probs=torch.tensor([-0.5, 0.5]))
    with pytest.raises(ValueError, match="find where the NaN began"):
        checks.probabilities(probs=torch.tensor([0.5, float("nan")]))


def test_zeros_and_ones():
    for dtype in (torch.bool, torch.uint8, torch.float32):
        checks.zeros_and_ones(same=torch.tensor([0, 1], dtype=dtype))
    with pytest.raises(ValueError, match=r"same must be 0 or 1, got 0.5"):
        checks.zeros_and_ones(same=torch.tensor([0.0, 0.5]))


def test_all_positive():
    checks.all_positive(variance=torch.tensor([1e-38]))
    with pytest.raises(ValueError, match="variance must be positive, got 0: let the network"):
        checks.all_positive(variance=torch.tensor([1.0, 0.0]))
    with pytest.raises(ValueError, match="find where the NaN began"):
        checks.all_positive(variance=torch.tensor([float("nan")]))


def test_values_are_not_looked_at_under_vmap():
    torch.func.vmap(lambda x: (checks.all_positive(x=x), x)[1])(torch.tensor([-1.0]))
