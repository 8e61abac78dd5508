"""A rubric with a fault is refused in words; the vocabulary serves every kind of exercise."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from grading.conftest import LIMITS, notebook
from typer.testing import CliRunner

from course_losses.grading.answers import Drawn
from course_losses.grading.cli import app
from course_losses.grading.exercise import Exercise
from course_losses.grading.rubric import RubricError
from course_losses.grading.sandbox import bubblewrap_fault
from course_losses.grading.session import Session
from course_losses.grading.slot import Slot

HEAD = """
import torch
from course_losses.grading import *
NEEDS = ["double"]
def number(random):
    return Case(x=torch.rand(3, generator=random))
"""
FINE = """
@criterion("It doubles", points=2, cases=number)
def test_double(student, case):
    return student.double(case.x)
"""


def written(folder: Path, rubric: str, solution: str = "double = lambda x: 2 * x") -> Exercise:
    place = folder / "exercises" / "double"
    place.mkdir(parents=True)
    (place / "test_double.py").write_text(rubric)
    (folder / "solutions").mkdir()
    (folder / "solutions" / "double.ipynb").write_bytes(notebook(solution))
    return Exercise(place)


@pytest.mark.parametrize(
    ("rubric", "told"),
    [
        ("x =", "cannot be read"),
        (HEAD, "needs NEEDS"),
        (FINE, "cannot be read"),
        (HEAD + "def test_x(student): pass", "decorate it with @criterion"),
        (HEAD + FINE.replace("points=2", "points=2, after='test_other'"), "no criterion before it"),
        (HEAD + FINE + "@mistake('triple', 'no')\ndef m(right, x): ...", "not among NEEDS"),
        (HEAD + FINE + "@mistake('double', 'no')\ndef test_double_(right, x): ...", ""),
    ],
)
def test_a_faulty_rubric_is_refused(tmp_path: Path, rubric: str, told: str) -> None:
    if not told:
        Session(written(tmp_path, rubric).rubrics).close()
        return
    with pytest.raises(RubricError, match=told):
        Session(written(tmp_path, rubric).rubrics)


def test_a_solution_that_does_not_run_is_named(tmp_path: Path) -> None:
    exercise = written(tmp_path, HEAD + FINE, "1 / 0")
    session = Session(exercise.rubrics)
    with pytest.raises(RubricError, match=r"double\.ipynb does not run: ZeroDivisionError"):
        Drawn(1, exercise.solution, session.mistakes)


def test_a_private_folder_without_a_rubric_is_refused(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["grade", str(tmp_path), "--rubric", str(tmp_path)])
    assert found.exit_code == 2
    (tmp_path / "test_nonesuch.py").touch()
    found = CliRunner().invoke(app, ["grade", str(tmp_path), "--rubric", str(tmp_path)])
    assert "nonesuch" in found.stderr
    assert found.exit_code == 2


EVERYTHING = '''
"""Every word of the vocabulary, as the larger exercises use it."""
import torch
from torch import nn
from course_losses.grading import *

NEEDS = ["Weighted", "Model", "train"]

def pictures(random):
    x = torch.rand(2, 3, 8, 8, generator=random)
    return Case(x=x.requires_grad_(), target=torch.rand(2, 3, 8, 8, generator=random),
                data=[[x.detach(), {"sum": x.detach().sum((1, 2, 3), keepdim=False)}]])

def features(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3))

def trainable(module):
    return [name for name, p in module.named_parameters() if p.requires_grad]

@criterion("The value, after the weights have moved", points=1, cases=pictures)
def test_moved(student, case):
    loss = student.Weighted(fixture(student, features, 3), layers=("0", "2"))
    set_parameters(loss, {"weight_logits": torch.tensor([1.0, -0.5])})
    return gradient(loss, case.x, case.target)

@criterion("The features are frozen", points=1, cases=pictures)
def test_frozen(student, case):
    return beside(student, trainable, student.Weighted(fixture(student, features, 3)))

@criterion("Parameters by name", points=1, cases=pictures)
def test_names(student, case):
    loss = student.Weighted(fixture(student, features, 3))
    return parameters(loss)["weight_logits"], value_of(loss.weight_logits)

@criterion("Training goes down", points=1, cases=pictures)
def test_train(student, case):
    torch.manual_seed(0)
    model = fixture(student, tiny, 5)
    history = student.train(model, case.data, epochs=4, lr=0.05)
    losses = numbers(history["loss"])
    assert losses.shape == (4,), "One loss per epoch."
    assert losses[-1] < losses[0], "The loss does not go down."

def tiny(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 1))

@mistake("train", "Only one epoch is run.")
def one_epoch(right, model, data, epochs=5, lr=0.01):
    return right(model, data, 1, lr)
'''
SOLUTION = """
import torch
from torch import nn
class Weighted(nn.Module):
    def __init__(self, features, layers=("0", "2")):
        super().__init__()
        self.features = features.requires_grad_(False)
        self.layers = layers
        self.weight_logits = nn.Parameter(torch.zeros(len(layers)))
    def seen(self, x):
        found = []
        for name, layer in self.features.named_children():
            x = layer(x)
            if name in self.layers:
                found.append(x.clone())
        return found
    def forward(self, pred, target):
        pairs = zip(self.weight_logits.softmax(0), self.seen(pred), self.seen(target))
        return sum(w * ((a - b) ** 2).mean() for w, a, b in pairs)
class Model(nn.Module):
    def forward(self, x):
        return {"sum": x.sum()}
def train(model, data, epochs=5, lr=0.01):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        for x, targets in data:
            loss = ((model(x).squeeze(1) - targets["sum"]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(HISTORY)
    return {"loss": losses}
"""
HEADS = {
    dtype: f"import torch, numpy as np\ntorch.set_default_dtype(torch.{dtype})\n"
    for dtype in ("float32", "float64")
}


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slot]:
    right = HEADS["float64"] + SOLUTION.replace("HISTORY", "loss.item()")
    exercise = written(tmp_path_factory.mktemp("larger"), EVERYTHING, right)
    slot = Slot(exercise, 7, not bubblewrap_fault(), LIMITS)
    yield slot
    slot.close()


@pytest.mark.parametrize("history", ["loss.item()", "loss.detach()", "np.float32(loss.item())"])
@pytest.mark.parametrize("dtype", HEADS)
def test_larger_exercises_fit(larger: Slot, history: str, dtype: str) -> None:
    outcome = larger.grade(notebook(HEADS[dtype], SOLUTION.replace("HISTORY", history)))
    assert (outcome.score, outcome.detail) == (4.0, "")
    assert torch.get_default_dtype() == torch.float32


def test_larger_exercises_tell_wrong_from_right(larger: Slot) -> None:
    source = SOLUTION.replace("HISTORY", "loss.item()").replace("range(epochs)", "range(1)")
    outcome = larger.grade(notebook(source.replace(".requires_grad_(False)", "")))
    found = {verdict["name"]: verdict["diagnosis"] for verdict in outcome.verdicts}
    assert found["test_names"] == ""
    assert found["test_train"] == "One loss per epoch."
    assert "instead of" in found["test_frozen"]
    assert "the keys" in found["test_moved"]
