"""What crosses the border: a frame is two lengths, a JSON tree, and the raw bytes of its tensors.

Nothing that arrives is believed: lengths are checked before anything is read, every tensor's dtype,
shape and place before it is built. Nothing is ever unpickled.
"""

import json
import math
import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import torch

HEAD = struct.Struct("<II")
MAX_JSON = 4 << 20
MAX_BYTES = 64 << 20
MAX_TEXT = 10_000
MAX_ITEMS = 100_000
MAX_DEPTH = 20
GLANCE = 0.1
Result = TypeVar("Result")

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "int64": torch.int64,
    "int32": torch.int32,
    "uint8": torch.uint8,
    "bool": torch.bool,
}
PLAIN = (str, int, float, bool, type(None))
NAMES = {dtype: name for name, dtype in DTYPES.items()}


class WireError(Exception):
    """A frame that breaks the rules of this page."""


class Deadline:
    """Seconds that may be spent waiting for the other side, summed over all waits.

    ``look`` is called after each wait, and at least every ``GLANCE`` seconds of a long one.
    """

    def __init__(self, seconds: float, look: Callable[[], None] | None = None) -> None:
        self.left, self.look = seconds, look

    def wait(self, sock: socket.socket, act: Callable[[], Result]) -> Result:
        """What ``act`` gives once ``sock`` is ready for it."""
        while self.left > 0:
            sock.settimeout(min(self.left, GLANCE) if self.look else self.left)
            start = time.monotonic()
            try:
                return act()
            except TimeoutError:
                continue
            finally:
                self.left -= time.monotonic() - start
                if self.look:
                    self.look()
        raise TimeoutError


def send(sock: socket.socket, frame: bytes, deadline: Deadline | None = None) -> None:
    view = memoryview(frame)
    while view:
        sent = partial(sock.send, view)
        view = view[deadline.wait(sock, sent) if deadline else sent() :]


def receive(sock: socket.socket, deadline: Deadline | None = None) -> bytes:
    """One frame, or ``EOFError`` when the other side is gone."""
    head = _exactly(sock, HEAD.size, deadline)
    text, raw = HEAD.unpack(head)
    if text > MAX_JSON or raw > MAX_BYTES:
        raise WireError("a frame is too large")
    return head + _exactly(sock, text + raw, deadline)


def _exactly(sock: socket.socket, count: int, deadline: Deadline | None) -> bytes:
    buffer = bytearray()
    while len(buffer) < count:
        received = partial(sock.recv, min(count - len(buffer), 1 << 20))
        part = deadline.wait(sock, received) if deadline else received()
        if not part:
            raise EOFError
        buffer += part
    return bytes(buffer)


def pack(value: Any, keep: Callable[[Any], int] | None = None) -> bytes:
    """``value`` as a frame; what is not data is handed to ``keep``, and its number travels."""
    parts: list[bytes] = []
    text = json.dumps(_tree(value, parts, keep, 0)).encode()
    raw = b"".join(parts)
    if len(text) > MAX_JSON or len(raw) > MAX_BYTES:
        raise WireError("the value is too large to send")
    return HEAD.pack(len(text), len(raw)) + text + raw


def _tree(value: Any, parts: list[bytes], keep: Callable[[Any], int] | None, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise WireError("the value is nested too deeply")
    if value is None or isinstance(value, (bool, int, float)):
        return value if value is None or type(value) in (bool, int, float) else float(value)
    if isinstance(value, str):
        text = str(value) if keep is None else str(value)[:MAX_TEXT]
        return text.encode("utf-8", "replace").decode()
    if isinstance(value, Reference):
        return {"ref": value.number, "path": list(value.path)}
    if isinstance(value, torch.Tensor):
        return _tensor(value, parts)
    if isinstance(value, dict):
        items = list(islice(dict.items(value), MAX_ITEMS))
        if not all(isinstance(key, PLAIN) for key, _ in items):
            raise WireError("a mapping's keys are neither texts nor numbers")
        return {"dict": [[_tree(part, parts, keep, depth + 1) for part in pair] for pair in items]}
    if isinstance(value, (list, tuple)):
        return [_tree(item, parts, keep, depth + 1) for item in islice(value, MAX_ITEMS)]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return _tensor(torch.as_tensor(value), parts)
    if keep is None:
        raise WireError(f"a {type(value).__name__} cannot be sent")
    return {"ref": keep(value), "path": [], "type": type(value).__name__[:100]}


def _tensor(value: torch.Tensor, parts: list[bytes]) -> Any:
    wanted = value.requires_grad and value.is_leaf
    value = value.detach()
    if value.layout != torch.strided or value.numel() * 8 > MAX_BYTES:
        raise WireError("a tensor is sparse or too large to send")
    if value.dtype not in NAMES:
        value = value.to(torch.float64 if value.is_floating_point() else torch.int64)
    value = value.cpu().resolve_conj().resolve_neg().contiguous()
    parts.append(value.numpy().tobytes())
    return {"tensor": NAMES[value.dtype], "shape": list(value.shape), "grad": wanted}


class Reference:
    """An object that stays in the other process, known by its number, and a path of attributes."""

    def __init__(self, number: int | str, path: tuple[str, ...] = (), kind: str = "object") -> None:
        self.number, self.path, self.kind = number, path, kind


def unpack(frame: bytes) -> Any:
    """The value of a frame; :class:`WireError` says what is wrong with a forged one."""
    text, raw = HEAD.unpack_from(frame)
    if len(frame) != HEAD.size + text + raw:
        raise WireError("a frame whose lengths do not add up")
    try:
        tree = json.loads(frame[HEAD.size : HEAD.size + text])
        reader = _Reader(memoryview(frame)[HEAD.size + text :])
        value = reader.value(tree, 0)
    except (ValueError, TypeError, KeyError, RecursionError, RuntimeError, OverflowError) as error:
        raise WireError(f"a malformed frame: {type(error).__name__}") from None
    if reader.at != raw:
        raise WireError("a frame with bytes that nobody asked for")
    return value


class _Reader:
    def __init__(self, raw: memoryview) -> None:
        self.raw, self.at = raw, 0

    def value(self, tree: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise WireError("a frame nested too deeply")
        if isinstance(tree, list):
            return [self.value(item, depth + 1) for item in tree]
        if not isinstance(tree, dict):
            return tree
        if "tensor" in tree:
            return self.tensor(DTYPES[tree["tensor"]], tree["shape"], tree["grad"] is True)
        if "dict" in tree:
            pairs = [(key, self.value(item, depth + 1)) for key, item in tree["dict"]]
            if not all(isinstance(key, PLAIN) for key, _ in pairs):
                raise WireError("a mapping whose keys are not plain")
            return dict(pairs)
        number, path = tree["ref"], tree["path"]
        if not isinstance(number, (int, str)) or not all(isinstance(name, str) for name in path):
            raise WireError("a malformed reference")
        return Reference(number, tuple(path), str(tree.get("type", "object"))[:100])

    def tensor(self, dtype: torch.dtype, shape: Any, grad: bool) -> torch.Tensor:
        if len(shape) > 16 or not all(type(n) is int and 0 <= n <= MAX_BYTES for n in shape):
            raise WireError("a tensor with an impossible shape")
        size = math.prod(shape) * dtype.itemsize
        if size > len(self.raw) - self.at:
            raise WireError("a tensor longer than its frame")
        part = bytearray(self.raw[self.at : self.at + size])
        self.at += size
        flat = torch.frombuffer(part, dtype=dtype) if size else torch.empty(0, dtype=dtype)
        return flat.reshape(shape).requires_grad_(grad and dtype.is_floating_point)
