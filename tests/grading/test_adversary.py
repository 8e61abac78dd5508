"""Attacks that once ended a run, changed a neighbour's row, or carried hidden inputs away."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from grading.conftest import EXERCISES, notebook
from grading.variants.tversky import DEFINITION

from course_losses.grading.answers import Stored, difference
from course_losses.grading.sandbox import Sandbox
from course_losses.grading.similar import shape
from course_losses.grading.slot import Outcome, Slot

MODULE = """import torch
from torch import nn
class TverskyLoss(nn.Module):
    def __init__(self, alpha=0.5, beta=0.5, smooth=1.0):
        super().__init__()
        self.alpha = alpha
    def forward(self, pred, target):
        secret = f"LEAK {self.alpha}"
        """
FORGE = """import json, os, socket, struct
link = [f for f in range(3, 200) if os.path.exists(f"/proc/self/fd/{f}")
        and os.readlink(f"/proc/self/fd/{f}").startswith("socket:")][-1]
text = json.dumps(%s).encode()
os.write(link, struct.pack("<II", len(text), %d) + text + b"ab"[:%d])
os._exit(0)
"""
FORGED = {
    "cell": FORGE % ('[{"dict": [["cell", "x"], ["type", "E"], ["text", ""]]}]', 0, 0),
    "infinite cell": FORGE % ('[{"dict": [["cell", 1e999], ["type", "E"], ["text", ""]]}]', 0, 0),
    "number": (FORGE % ("[]", 0, 0)).replace("os._exit(0)\n", "os.read(link, 1 << 20)\n")
    + FORGE % ('[{"tensor": "uint8", "shape": [2], "grad": 0}, [], None]', 2, 2),
}


def right(slot: Slot) -> None:
    outcome = slot.grade(notebook(DEFINITION))
    assert (outcome.status, outcome.score, outcome.detail) == ("graded", 10.0, "")


@pytest.mark.parametrize("source", FORGED.values(), ids=FORGED)
def test_forged_replies_are_one_notebooks_trouble(slot: Slot, source: str) -> None:
    assert slot.grade(notebook(DEFINITION, source)).status == "killed"
    right(slot)


def test_nameless_signal(slot: Slot) -> None:
    outcome = slot.grade(notebook(DEFINITION, "import os; os.kill(os.getpid(), 40)"))
    assert (outcome.status, outcome.detail) == ("killed", "the notebook's process died: signal 40")
    right(slot)


def test_a_number_beyond_every_dtype(marks: Callable[..., Outcome]) -> None:
    assert (marks(MODULE + "return 10**30").status, marks(MODULE + "return 0").score) == (
        "graded",
        0.0,
    )


@pytest.mark.parametrize("content", [b'{"worksheets": [5]}', b'{"worksheets": [[]]}'])
def test_sheets_that_are_none(slot: Slot, content: bytes) -> None:
    assert slot.grade(content).status == "invalid"


@pytest.mark.parametrize(
    "last",
    [
        "raise type(secret, (Exception,), {})()",
        "exec(compile('1 / 0', f'<cell {secret}>', 'exec'))",
        "return secret",
        "return type(secret, (), {})()",
        "return {secret: pred}",
    ],
)
def test_hidden_inputs_do_not_reach_the_feedback(marks: Callable[..., Outcome], last: str) -> None:
    outcome = marks(MODULE + last)
    assert (outcome.status, outcome.score) == ("graded", 0.0)
    assert "LEAK" not in outcome.detail + str(outcome.verdicts)


def test_names_of_parameters_do_not_reach_the_feedback(marks: Callable[..., Outcome]) -> None:
    line = "        self.alpha, self.beta, self.smooth = alpha, beta, smooth\n"
    name = "'LEAK ' + str(alpha).replace('.', ',')"
    named = f"        self.register_parameter({name}, nn.Parameter(torch.ones(1)))\n"
    outcome = marks(DEFINITION.replace(line, line + named))
    assert outcome.score == 8.0  # the gradient's names are not the solution's
    assert outcome.status == "graded"
    assert "LEAK" not in outcome.detail + str(outcome.verdicts)


@pytest.mark.parametrize(
    "last",
    [
        "resource.prlimit(os.getppid(), resource.RLIMIT_NPROC, (0, 0))",
        "resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))",
        "resource.prlimit(os.getppid(), resource.RLIMIT_DATA, (1 << 20, 1 << 20))",
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
        "os.sched_setscheduler(os.getppid(), os.SCHED_IDLE, os.sched_param(0))",
    ],
)
def test_the_next_notebook_starts_as_the_first(slot: Slot, last: str) -> None:
    slot.grade(notebook(DEFINITION, f"import os, resource\n{last}"))
    here = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)
    probe = f"assert (os.getpriority(0, 0), os.sched_getscheduler(0)) == {here}"
    outcome = slot.grade(notebook(DEFINITION, f"import os\n{probe}"))
    assert (outcome.status, outcome.score, outcome.detail) == ("graded", 10.0, "")


def test_no_message_for_the_next_notebook(slot: Slot) -> None:
    key = "import ctypes, os\nlibc = ctypes.CDLL(None)\n"
    write = key + "os.write(2, b'LEAK')\nlibc.syscall(248, b'user', b'k', b'LEAK', 4, -4)"
    slot.grade(notebook(DEFINITION, write))
    read = key + "os.lseek(2, 0, 0)\nassert b'LEAK' not in os.read(2, 1000)\n"
    read += "assert libc.syscall(250, 10, -4, b'user', b'k', 0) == -1"
    assert slot.grade(notebook(DEFINITION, read)).detail == ""


def test_a_long_cell_is_read_to_its_end(marks: Callable[..., Outcome]) -> None:
    assert marks("# a long comment\n" * 5000 + DEFINITION).score == 10.0


def test_a_folder_deeper_than_recursion(bare: Slot) -> None:
    deep = "import os\nfor _ in range(3000):\n    os.mkdir('a')\n    os.chdir('a')"
    assert bare.grade(notebook(DEFINITION, deep)).score == 10.0
    right(bare)


def test_a_room_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"course-losses-{10**30}-x").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sandbox = Sandbox([], wrapped=False)
    sandbox.start()
    sandbox.stop()
    assert len(list(tmp_path.iterdir())) == 1


def test_branches_nested_deep_cost_little() -> None:
    source = ("if 1:pass\n" + "elif 1:pass\n" * 100) * 20
    assert shape([source])
    assert shape([source] * 100) == shape([source])


def test_the_right_answer_is_told_on_public_cases_only(
    slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = notebook(DEFINITION.replace("return 1 - ", "return 1.02 - "))
    found = {v["name"]: v["diagnosis"] for v in slot.grade(wrong).verdicts}
    one = found["test_one_image"]
    assert (
        one
        == "3 of 3 cases are wrong; the first gives a value that is too large, by less than 10%."
    )
    assert not re.search(r"[0-9]\.[0-9]", "".join(found.values()))
    monkeypatch.setattr(slot, "answers", Stored(EXERCISES["tversky"].cases))
    told = {v["name"]: v["diagnosis"] for v in slot.grade(wrong).verdicts}["test_one_image"]
    assert re.search(r"gives 0\.[0-9]+ instead of 0\.[0-9]+", told)


@pytest.mark.parametrize("answer", [0.1, [0.1], {"a": 0.1}, None, "text", True, torch.rand(3)])
@pytest.mark.parametrize("right", [0.4321, torch.tensor(0.4321), torch.tensor([0.4321] * 3)])
def test_no_form_of_answer_draws_the_right_one_out(answer: object, right: object) -> None:
    told = difference([answer], [right], 1e-4, public=False)
    assert told
    assert "0.43" not in told


@pytest.mark.parametrize("sources", [["x = 1\n" * 200_000], ["x = 1"] * 10_001])
def test_too_much_code_is_told(slot: Slot, sources: list[str]) -> None:
    outcome = slot.grade(notebook(DEFINITION, *sources))
    assert (outcome.status, outcome.score) == ("invalid", 0.0)
    assert "too much code" in outcome.detail
