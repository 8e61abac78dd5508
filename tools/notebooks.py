"""The only writer of stored outputs: run notebooks in place, and refuse what must not be stored.

    python -m tools.notebooks [NOTEBOOK or FOLDER ...]

Without arguments: every notebook of the book, the exercises and the solutions. A notebook is
replaced only when it ran to its end without a fault, and only when something changed.
"""

import base64
import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image, ImageChops, ImageStat

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("book", "exercises", "solutions")
FIRST_CELL = ("torch.set_num_threads(1)", "torch.set_default_dtype(", "torch.manual_seed(")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
SECONDS_PER_CELL = 300
STEPPER_BYTES = 15_000
LEVELS_THAT_SHOW = 1.5
ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")


def notebooks(paths: Iterable[Path]) -> Iterator[Path]:
    """The notebooks among the paths and below them, in a fixed order."""
    for path in paths:
        if path.is_dir():
            yield from sorted(
                p for p in path.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts
            )
        elif path.suffix == ".ipynb" and path.exists():
            yield path
        else:
            raise FileNotFoundError(f"no notebook or folder: {path}")


def read(path: Path) -> NotebookNode:
    """As it stands: nbformat's own reader would repair ids at random."""
    return nbformat.v4.reads_json(path.read_text(encoding="utf-8"))


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """The notebook with fresh outputs, and nothing in it that depends on when or where it ran."""
    os.environ.update(ONE_THREAD, PYTHONPATH=str(ROOT))  # the kernel imports tools.figures
    NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--ext=tools.figures"],
    ).execute()
    return tidied(notebook)


def tidied(notebook: NotebookNode) -> NotebookNode:
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    taken: set[str] = set()
    for cell in notebook.cells:
        if not re.fullmatch(r"[\w-]{1,64}", cell.get("id", "")) or cell.id in taken:
            cell.id = new_id(cell.source, taken)
        taken.add(cell.id)
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            if output.output_type == "error":  # tracebacks name this machine's folders
                output.traceback = [f"{output.ename}: {output.evalue}"]
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = lighter(output.data["image/png"])
    return notebook


def lighter(png: str) -> str:
    """A drawing in a palette of 256 colours, a third of the bytes; a picture as it is.

    A picture is what the palette would change: by so many of 255 levels in the mean, where opaque.
    """
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    if image.mode == "P":
        return png
    image = image.convert("RGBA")
    drawing = image.quantize(256, Image.Quantize.FASTOCTREE)
    change = ImageChops.difference(image.convert("RGB"), drawing.convert("RGB"))
    opaque = image.getchannel("A").point(lambda alpha: 255 * (alpha == 255))
    if opaque.getbbox() and max(ImageStat.Stat(change, opaque).mean) > LEVELS_THAT_SHOW:
        return png
    packed = io.BytesIO()
    drawing.save(packed, "PNG", optimize=True, dpi=image.info.get("dpi"))
    return base64.b64encode(packed.getvalue()).decode()


def new_id(source: str, taken: set[str]) -> str:
    digest = hashlib.sha256(source.encode()).hexdigest()
    return next(digest[:n] for n in range(8, 65) if digest[:n] not in taken)


def faults(notebook: NotebookNode) -> list[str]:
    """What makes the stored outputs unfit to be trusted or read: one line for each fault."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    found = []
    if not code or not all(line in code[0].source for line in FIRST_CELL):
        found.append(f"the first code cell must call {', '.join(FIRST_CELL)}…)")
    ids = [cell.get("id") for cell in notebook.cells]
    if None in ids or len(set(ids)) < len(ids):
        found.append("cells need ids, each its own")
    for number, cell in enumerate(code, 1):
        found += [f"cell {number}: {fault}" for fault in cell_faults(cell, number)]
    return found


def cell_faults(cell: NotebookNode, number: int) -> Iterator[str]:
    if cell.execution_count != number:
        yield f"execution count {cell.execution_count}: run it with `make notebooks`"
    if "execution" in cell.metadata:
        yield "holds the times at which it ran"
    if cell.source.rstrip().endswith(";"):
        yield "ends with ';', which nbval does not silence: assign the value or call plt.show()"
    figures = 0
    for output in cell.outputs:
        if output.output_type == "error" and "raises-exception" not in cell.metadata.get(
            "tags", []
        ):
            yield f"raised {output.ename}: {output.evalue}"
        if output.output_type == "stream" and output.name == "stderr":
            yield f"wrote to stderr: {output.text.strip()[:200]}"
        data = output.get("data", {})
        if ADDRESS.search(output.get("text", "") + data.get("text/plain", "")):
            yield "shows a memory address, which is another one next time"
        figures += any(kind.startswith("image/") for kind in data)
        stepper = (
            data.get("text/html", "") if 'class="stepper"' in data.get("text/html", "") else ""
        )
        if len(stepper.encode()) > STEPPER_BYTES:
            yield f"a stepper of {len(stepper.encode())} bytes, more than {STEPPER_BYTES}"
        if stepper or "image/png" in data:
            yield from data_faults(output)
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
    if figures and len(alt.split()) < 5:
        yield 'a figure without alt text: metadata "mystnb": {"image": {"alt": "what it shows"}}'
    if figures > 1:
        yield f"{figures} figures with one alt text: one figure for each cell"


def data_faults(figure: NotebookNode) -> Iterator[str]:
    """A drawing without numbers says so by an empty list: that is no fault."""
    if "figure" not in figure.metadata:
        yield "a figure without its numbers: run it with `make notebooks`"
    for panel in json.loads(figure.metadata.get("figure", "[]")):
        if nameless := sum(not series["name"] for series in panel["series"]):
            yield f"{nameless} nameless series in {panel['title']!r}: give each call a label"


def write(notebook: NotebookNode, path: Path) -> bool:
    """Replace the file as a whole if its bytes change; whether they did."""
    nbformat.validate(notebook)
    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    if path.read_text(encoding="utf-8") == text:
        return False
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return True


def refresh(path: Path) -> bool:
    """Whether the notebook ran without a fault; says what happened."""
    try:
        notebook = run(read(path), path.parent)
    except CellExecutionError as error:
        print(f"{path}: left as it was, a cell raised\n{error}", file=sys.stderr)
        return False
    if found := faults(notebook):
        print(f"{path}: left as it was", *found, sep="\n  ", file=sys.stderr)
        return False
    print(f"{path}: {'written' if write(notebook, path) else 'unchanged'}", flush=True)
    return True


def main(arguments: list[str]) -> int:
    asked = map(Path, arguments) if arguments else filter(Path.is_dir, map(ROOT.joinpath, FOLDERS))
    try:
        paths = list(notebooks(asked))
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    fine = [refresh(path) for path in paths]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
