"""Every stored output was written by `make notebooks` and can be trusted and read."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
from nbformat import NotebookNode
from PIL import Image, ImageChops, ImageStat

from tools.notebooks import FOLDERS, ROOT, faults, lighter, main, notebooks, read, tidied

STORED = list(notebooks(folder for name in FOLDERS if (folder := ROOT / name).is_dir()))
FIRST = (
    "import torch\n\ntorch.manual_seed(0)\n"
    "torch.set_num_threads(1)\ntorch.set_default_dtype(torch.float64)"
)
FIGURE = {
    "output_type": "display_data",
    "data": {"image/png": "aGk="},
    "metadata": {"figure": "[]"},
}
ALT = {"image": {"alt": "two lines from left to right"}}


@pytest.mark.parametrize("path", STORED, ids=lambda path: str(path.relative_to(ROOT)))
def test_notebook_has_no_fault(path: Path) -> None:
    assert faults(read(path)) == []


@pytest.mark.parametrize("path", STORED, ids=lambda path: str(path.relative_to(ROOT)))
def test_notebook_names_no_folder_of_the_machine_it_ran_on(path: Path) -> None:
    assert str(ROOT) not in path.read_text(encoding="utf-8")


def notebook(*sources: str) -> NotebookNode:
    cells = [nbformat.v4.new_code_cell(source) for source in (FIRST, *sources)]
    for number, cell in enumerate(cells, 1):
        cell.execution_count = number
    return nbformat.v4.new_notebook(cells=cells)


def strip_outputs(nb: NotebookNode) -> None:
    nb.cells[1].execution_count = None


def run_out_of_order(nb: NotebookNode) -> None:
    nb.cells[1].execution_count = 7


def store_time(nb: NotebookNode) -> None:
    nb.cells[1].metadata["execution"] = {"iopub.execute_input": "2026-01-01T00:00:00Z"}


def silence_with_semicolon(nb: NotebookNode) -> None:
    nb.cells[1].source += ";"


def raise_error(nb: NotebookNode) -> None:
    nb.cells[1].outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="no")]


def warn(nb: NotebookNode) -> None:
    nb.cells[1].outputs = [nbformat.v4.new_output("stream", name="stderr", text="careful")]


def show_address(nb: NotebookNode) -> None:
    shown = {"text/plain": "<torch._C.Generator at 0x7f3a5c0d2b10>"}
    nb.cells[1].outputs = [nbformat.v4.new_output("display_data", data=shown)]


def draw_without_words(nb: NotebookNode) -> None:
    nb.cells[1].outputs = [nbformat.from_dict(FIGURE)]


def draw_with_a_file_name(nb: NotebookNode) -> None:
    draw_without_words(nb)
    nb.cells[1].metadata["mystnb"] = {"image": {"alt": "figure.png"}}


def draw_twice(nb: NotebookNode) -> None:
    nb.cells[1].outputs = [nbformat.from_dict(FIGURE), nbformat.from_dict(FIGURE)]
    nb.cells[1].metadata["mystnb"] = {"image": {"alt": "two pictures with one alternative text"}}


def overweight_stepper(nb: NotebookNode) -> None:
    html = '<figure class="stepper">' + "x" * 15_000
    shown = nbformat.v4.new_output("display_data", {"text/html": html}, metadata={"figure": "[]"})
    nb.cells[1].outputs = [shown]


def draw_without_numbers(nb: NotebookNode) -> None:
    draw_without_words(nb)
    nb.cells[1].metadata["mystnb"] = ALT
    nb.cells[1].outputs[0].metadata = {}


def draw_without_names(nb: NotebookNode) -> None:
    draw_without_numbers(nb)
    series = [{"name": name, "x": [1], "y": [2]} for name in ("", "loss", "")]
    panels = [{"title": "left", "x": "step", "y": "", "series": series}]
    nb.cells[1].outputs[0].metadata = {"figure": json.dumps(panels)}


def double_ids(nb: NotebookNode) -> None:
    nb.cells[1].id = nb.cells[0].id


def let_threads_decide(nb: NotebookNode) -> None:
    nb.cells[0].source = FIRST.replace("torch.set_num_threads(1)", "")


def forget_precision(nb: NotebookNode) -> None:
    nb.cells[0].source = FIRST.replace("torch.set_default_dtype(torch.float64)", "")


def forget_seed(nb: NotebookNode) -> None:
    nb.cells[0].source = FIRST.replace("torch.manual_seed(0)", "")


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (strip_outputs, "execution count None"),
        (run_out_of_order, "execution count 7"),
        (store_time, "times at which it ran"),
        (silence_with_semicolon, "ends with ';'"),
        (raise_error, "raised ValueError: no"),
        (warn, "wrote to stderr: careful"),
        (show_address, "memory address"),
        (draw_without_words, "without alt text"),
        (draw_with_a_file_name, "without alt text"),
        (draw_twice, "2 figures with one alt text"),
        (overweight_stepper, "stepper of 15024 bytes"),
        (draw_without_numbers, "without its numbers"),
        (draw_without_names, "2 nameless series in 'left'"),
        (double_ids, "ids"),
        (let_threads_decide, "first code cell"),
        (forget_precision, "first code cell"),
        (forget_seed, "first code cell"),
    ],
)
def test_fault_is_seen(harm: Callable[[NotebookNode], None], complaint: str) -> None:
    sound = notebook("1 + 1")
    assert faults(sound) == []
    harm(sound)
    assert len(faults(sound)) == 1
    assert complaint in faults(sound)[0]


def test_error_that_is_the_lesson_is_no_fault() -> None:
    nb = notebook("1 / 0")
    raise_error(nb)
    nb.cells[1].metadata["tags"] = ["raises-exception"]
    assert faults(nb) == []


def test_ids_stay_or_follow_from_the_source() -> None:
    nb = notebook("1 + 1", "1 + 1")
    nb.cells[0].id = nb.cells[1].id = "readable"
    del nb.cells[2]["id"]
    assert [cell.id for cell in tidied(nb).cells] == ["readable", "72fce594", "72fce5944"]
    assert "ids" not in str(faults(nb))


def as_png(image: Image.Image) -> str:
    packed = io.BytesIO()
    image.save(packed, "PNG")
    return base64.b64encode(packed.getvalue()).decode()


def over_white(png: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def test_drawings_are_stored_lighter_and_look_the_same() -> None:
    figure, axes = plt.subplots()
    axes.plot([0, 1, 2], [0, 1, 0.5], label="a line")
    axes.legend()
    packed = io.BytesIO()
    figure.savefig(packed, transparent=True)
    plt.close(figure)
    drawing = base64.b64encode(packed.getvalue()).decode()
    stored = lighter(drawing)
    assert len(stored) < 0.6 * len(drawing)
    difference = ImageChops.difference(over_white(drawing), over_white(stored))
    assert max(ImageStat.Stat(difference).mean) < 0.5
    assert lighter(stored) == stored


def test_photographs_keep_their_colours() -> None:
    across, down = Image.linear_gradient("L"), Image.linear_gradient("L").rotate(90)
    photograph = as_png(Image.merge("RGB", [across, down, Image.radial_gradient("L")]))
    assert lighter(photograph) == photograph


def test_a_grey_picture_beside_a_drawing_keeps_its_shades() -> None:
    figure, (left, right) = plt.subplots(1, 2)
    left.imshow(Image.radial_gradient("L"), cmap="gray")
    right.plot([0, 1, 2], [0, 1, 0.5])
    packed = io.BytesIO()
    figure.savefig(packed, transparent=True)
    plt.close(figure)
    mixed = base64.b64encode(packed.getvalue()).decode()
    assert lighter(mixed) == mixed


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lesson.ipynb"
    shown = nbformat.v4.new_code_cell("print(torch.rand(1).item() < 2)\n2 + 3")
    lesson = nbformat.v4.new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]})
    first = nbformat.v4.new_code_cell(FIRST)
    nbformat.write(nbformat.v4.new_notebook(cells=[first, shown, lesson]), path)
    return path


def test_writer_runs_in_place_and_changes_nothing_the_second_time(file: Path) -> None:
    assert main([str(file)]) == 0
    written = file.read_bytes()
    nb = read(file)
    assert faults(nb) == []
    assert nb.cells[1].outputs[0].text == "True\n"
    assert nb.cells[1].outputs[1].data["text/plain"] == "5"
    assert nb.cells[2].outputs[0].traceback == ["ZeroDivisionError: division by zero"]
    assert main([str(file)]) == 0
    assert file.read_bytes() == written
    assert list(file.parent.iterdir()) == [file]


def test_writer_stores_the_numbers_of_a_figure(file: Path) -> None:
    nb = read(file)
    drawing = "plt.plot([1, 2], [3.14159, 4], label='a')\nplt.show()"
    nb.cells[1].source = f"import matplotlib.pyplot as plt\n\n{drawing}"
    nb.cells[1].metadata["mystnb"] = {"image": {"alt": "a line from left to right"}}
    nb.cells[2].source = (
        "from course_losses.viz import Stepper\n\n"
        "Stepper('w', [0, 1], {1: {'loss': {'b': [0, 1]}}}, xlabel='x', caption='c')"
    )
    nbformat.write(nb, file)
    assert main([str(file)]) == 0
    shown = [json.loads(cell.outputs[0].metadata["figure"]) for cell in read(file).cells[1:]]
    drawn = [panels[0]["series"][0] for panels in shown]
    assert drawn == [{"name": "a", "x": [1, 2], "y": [3.142, 4]}, {"name": "b", "y": [0, 1]}]


@pytest.mark.parametrize("source", ["1 / 0", "import sys; print('careful', file=sys.stderr)"])
def test_writer_leaves_a_faulty_notebook_as_it_was(
    file: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nb = read(file)
    nb.cells[1].source = source
    nbformat.write(nb, file)
    before = file.read_bytes()
    assert main([str(file)]) == 1
    assert "left as it was" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_writer_names_a_path_that_is_no_notebook(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "missing.ipynb")]) == 2
    assert "missing.ipynb" in capsys.readouterr().err
