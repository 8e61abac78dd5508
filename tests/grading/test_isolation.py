"""Hostile notebooks: none earns a mark, learns a secret, harms a neighbour, or stays."""

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from grading.conftest import EXERCISES, LIMITS, notebook
from grading.variants.tversky import DEFINITION, HERE

from course_losses.grading import sandbox
from course_losses.grading.notebook import InvalidNotebookError, read_file
from course_losses.grading.sandbox import Limits
from course_losses.grading.slot import Slot

BEFORE = """import torch
from torch import nn
class Wrong(nn.Module):
    def __init__(self, alpha=0.5, beta=0.5, smooth=1.0):
        super().__init__()
    def forward(self, pred, target):
        return pred.sum()
TverskyLoss = Wrong
"""
PARTS = (part.partition("\n") for part in (HERE / "hostile.txt").read_text().split("=== ")[1:])
HOSTILE = {name: text for name, _, text in PARTS}
SHORT = Limits(timeout=1.5, memory=512)


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("canary") / "secret"
    path.write_text("alive")
    return path


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """A server on loopback and an abstract socket that nobody may reach."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.setblocking(False)
        with closing(socket.socket(socket.AF_UNIX)) as abstract:
            abstract.bind(f"\0canary-{os.getpid()}")
            abstract.listen()
            yield server


def processes(slot: Slot) -> int:
    """How many processes there are below the sandbox."""
    return len(psutil.Process(slot.sandbox._process.pid).children(recursive=True))


def good(slot: Slot) -> None:
    slot.limits = LIMITS
    outcome = slot.grade(notebook(DEFINITION))
    assert (outcome.status, outcome.score, outcome.detail) == ("graded", 10.0, "")


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_hostile(sandboxed: Slot, canary: Path, listener: socket.socket, source: str) -> None:
    if sandboxed.sandbox._process is None:  # the first of all; later ones follow a good one
        good(sandboxed)
    quiet = processes(sandboxed)
    sandboxed.limits = SHORT
    source = source.replace("{CANARY}", str(canary))
    source = source.replace("{PORT}", str(listener.getsockname()[1]))
    source = source.replace("{PROCESS}", str(os.getpid()))
    start = time.monotonic()
    outcome = sandboxed.grade(notebook(BEFORE, source))
    assert time.monotonic() - start < 60
    assert outcome.score == 0
    assert outcome.status in ("graded", "error", "timeout", "killed")
    assert not [error for error in outcome.errors if "LEAK" in error["text"]]
    assert "LEAK" not in outcome.detail
    good(sandboxed)
    assert processes(sandboxed) == quiet
    assert canary.read_text() == "alive"
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_course_below_tmp_has_a_tmp_that_nobody_writes(
    sandboxed: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as below:
        places = [*sandbox._interpreter(), below]
        monkeypatch.setattr(sandbox, "_interpreter", lambda: places)
        with closing(Slot(EXERCISES["tversky"], 1, True, LIMITS)) as slot:
            good(slot)
            process = slot.sandbox._process
            outcome = slot.grade(notebook(DEFINITION, "open('/tmp/left', 'w')"))
            assert [error["type"] for error in outcome.errors] == ["OSError"]
            good(slot)
            assert slot.sandbox._process is process, "the room was not clean"


def test_there_are_enough() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("name", ["folder", "pipe", "device", "link", "loop", "large", "socket"])
def test_files_that_are_no_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif name == "pipe":
        os.mkfifo(path)
    elif name == "device":
        path = Path("/dev/zero")
    elif name == "link":
        path.symlink_to("/etc/passwd")
    elif name == "loop":
        path.symlink_to(path)
    elif name == "large":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    else:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.close()
    with pytest.raises(InvalidNotebookError):
        read_file(path)
