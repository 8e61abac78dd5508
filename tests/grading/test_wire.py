"""The border: what is sent arrives as it was, and a frame that breaks the rules is refused."""

import json
import math
import socket
from contextlib import suppress

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_losses.grading.sandboxed.host import Host
from course_losses.grading.sandboxed.wire import (
    HEAD,
    Deadline,
    Reference,
    WireError,
    pack,
    receive,
    unpack,
)
from course_losses.grading.student import StudentError, here

PLAIN = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=9)
TREES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


def equal(a: object, b: object) -> bool:
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


@settings(max_examples=100, deadline=None)
@given(TREES)
def test_trees_come_back(tree: object) -> None:
    assert equal(unpack(pack(tree)), tree)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3, 4)])
def test_tensors_come_back(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = (torch.rand(shape) * 5).to(dtype)
    found = unpack(pack({"x": [tensor, tensor.T if tensor.dim() == 2 else tensor]}))["x"][0]
    assert found.dtype == dtype
    assert torch.equal(found, tensor)


def frame(tree: object, raw: bytes = b"") -> bytes:
    text = json.dumps(tree).encode()
    return HEAD.pack(len(text), len(raw)) + text + raw


TENSOR = {"tensor": "float32", "shape": [1], "grad": False}


@pytest.mark.parametrize(
    "forged",
    [
        frame({"tensor": "complex64", "shape": [1], "grad": False}, b"12345678"),
        frame({"tensor": "float32", "shape": [2], "grad": False}, b"1234"),
        frame({"tensor": "float32", "shape": [-1], "grad": False}, b"1234"),
        frame({"tensor": "float32", "shape": [True], "grad": False}, b"1234"),
        frame({"tensor": "float32", "shape": "1", "grad": False}, b"1234"),
        frame({"tensor": "float32", "shape": [1] * 17, "grad": False}, b"1234"),
        frame({"tensor": "float32", "shape": [2**40, 0], "grad": False}),
        frame(TENSOR, b"12345"),
        frame({"dict": [[[1], 2]]}),
        frame({"dict": [[1, 2, 3]]}),
        frame({"ref": None, "path": []}),
        frame({"ref": 1, "path": [1]}),
        frame({"nothing": 1}),
        frame(1)[:-1],
        frame(1) + b" ",
        HEAD.pack(4, 0) + b"\xff\xff\xff\xff",
        HEAD.pack(200_000, 0) + b"[" * 100_000 + b"]" * 100_000,
        HEAD.pack(9000, 0) + b"9" * 9000,
    ],
)
def test_forged_frames_are_refused(forged: bytes) -> None:
    with pytest.raises(WireError):
        unpack(forged)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_noise_is_refused_or_is_data(noise: bytes) -> None:
    with suppress(WireError):
        unpack(HEAD.pack(len(noise), 0) + noise)


def test_no_length_is_believed_and_no_wait_is_endless() -> None:
    one, other = socket.socketpair()
    with one, other:
        other.sendall(HEAD.pack(2**32 - 1, 2**32 - 1))
        with pytest.raises(WireError, match="too large"):
            receive(one)
        deadline = Deadline(0.1)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                receive(one, deadline)
        other.sendall(b"123")
        other.close()
        with pytest.raises(EOFError):
            receive(one)


@pytest.mark.parametrize(
    "answer",
    [
        "torch.sparse_coo_tensor(size=(2, 2))",
        "torch.zeros(1).expand(2**40)",
        "{object(): 1}",
        "{(1, 2): 1}",
        "'x' * 10**8 and [['x' * 10_000] * 1000]",
        "10**5000",
    ],
)
def test_what_cannot_be_sent_is_the_learner_s_error(answer: str) -> None:
    namespace: dict[str, object] = {"torch": torch}
    exec(f"def f():\n    return {answer}", namespace)
    with pytest.raises(StudentError):
        here(namespace).f()


def test_a_reference_to_nothing_is_an_error() -> None:
    reply = unpack(
        Host({}).answer(pack({"id": 1, "op": "call", "args": [Reference(7)], "kwargs": {}}))
    )
    assert reply[0] == 1
    assert reply[2]["type"] == "IndexError"


def test_gradients_keep_their_names_beside_frozen_parameters() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1, bias=False))
    model[0].requires_grad_(False)
    with torch.no_grad():
        model[0].weight.fill_(2.0)
        model[0].bias.fill_(0.0)
    _, (by_input,), named = Host({}).gradient(model, torch.ones(1, 1, requires_grad=True))
    assert named.keys() == {"1.weight"}
    assert named["1.weight"].item() == 2.0
    assert by_input.shape == (1, 1)
