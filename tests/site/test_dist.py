"""What `make dist` hands out, used as its receivers would: unpacked, offline, from disk."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import nbformat
import pytest
from playwright.sync_api import Browser
from pypdf import PdfReader
from pypdf.generic import Destination

from tools import dist
from tools.pack import imported
from tools.paper import Entry, page_numbers, write_pdf

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = sorted(path.parent.name for path in ROOT.glob("exercises/*/test_*.py"))


def unpacked(archive: Path, folder: Path) -> Path:
    """The one folder that the zip holds."""
    with ZipFile(archive) as file:
        file.extractall(folder)
    (found,) = folder.iterdir()
    assert found.name == archive.stem
    return found


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dist.pack(tmp_path_factory.mktemp("drafts"))


@pytest.fixture(scope="module")
def desk(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The learner's folder: the pack, and beside its files an environment with the wheel.

    What the wheel depends on is seen where the tests have it; the package there is not.
    """
    folder = unpacked(pack, tmp_path_factory.mktemp("desk"))
    subprocess.run([sys.executable, "-m", "venv", folder / ".venv"], check=True)
    (packages,) = (folder / ".venv").glob("lib/python*/site-packages")
    (packages / "installed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (wheel,) = folder.glob("*.whl")
    assert f"./{wheel.name}" in (folder / "requirements.txt").read_text()
    run(folder, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "-I", f"./{wheel.name}")
    return folder


def run(folder: Path, *arguments: str) -> str:
    """What the learner's Python prints, away from the checkout."""
    result = subprocess.run(
        [folder / ".venv/bin/python", *arguments],
        cwd=folder,
        env=os.environ | {"TERM": "dumb", "PYTHONPATH": "", "OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def check(folder: Path, notebook: Path) -> str:
    """What the command says on a machine without bubblewrap, as most learners' are.

    The sandbox opens an environment's own packages, and here they are borrowed.
    """
    programs = folder / ".venv" / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("chmod", "rm"):
        if not (programs / name).exists():
            (programs / name).symlink_to(str(shutil.which(name)))
    program = [folder / ".venv/bin/course-losses", "check", notebook]
    environment = os.environ | {"PATH": str(programs), "TERM": "dumb", "COLUMNS": "200"}
    return subprocess.run(
        program, cwd=folder, env=environment, text=True, capture_output=True, check=True
    ).stdout


RUN_ALL = """
import nbformat, sys
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        print(output.get("data", {}).get("text/plain", ""))
"""


def solved(folder: Path, name: str) -> Path:
    """The pack's notebook, its gaps filled as in the worked solution."""
    path = folder / "exercises" / name / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    worked = nbformat.read(ROOT / "solutions" / f"{name}.ipynb", as_version=4)
    sources = {cell.id: cell.source for cell in worked.cells}
    for cell in notebook.cells:
        cell.source = sources[cell.id]
    nbformat.write(notebook, path)
    return path


def test_the_pack_holds_every_exercise_and_how_to_run_it(desk: Path) -> None:
    files = sorted(
        path.relative_to(desk).as_posix()
        for path in desk.rglob("*")
        if path.is_file() and ".venv" not in path.parts
    )
    wanted = [f"exercises/{name}/{name}.ipynb" for name in EXERCISES]
    wanted += [f"exercises/{name}/test_{name}.py" for name in EXERCISES]
    wanted += [f"exercises/{name}/cases.json" for name in EXERCISES]
    (wheel,) = desk.glob("*.whl")
    wanted += [
        "LICENSE",
        "LICENSE-text",
        "README.txt",
        "constraints.txt",
        "requirements.txt",
        wheel.name,
    ]
    assert files == sorted(wanted)
    assert len(EXERCISES) > 10
    readme = (desk / "README.txt").read_text()
    for line in ("-m venv .venv", "-r requirements.txt", "lab exercises"):
        assert readme.count(line) == 2  # Linux and macOS, Windows


def texts(folder: Path) -> dict[str, str]:
    """Every text of the pack, the wheel's too; of a notebook, its sources and outputs."""
    found = {path.name: path.read_text() for path in folder.glob("exercises/*/*.py")}
    for path in folder.glob("exercises/*/*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        found[path.name] = "\n".join("".join(cell["source"]) for cell in cells)
        found[path.name] += "".join(str(cell.get("outputs")) for cell in cells)
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith((".py", "METADATA")):
                found[name] = archive.read(name).decode()
    return found


def repaired_lines(name: str) -> list[list[str]]:
    """For each gap of an exercise the lines that its solution has and the learner's has not."""
    worked = nbformat.read(ROOT / "solutions" / f"{name}.ipynb", as_version=4)
    blocks = []
    for cell in worked.cells:
        for block in re.findall(r"# BEGIN SOLUTION\n(.*?)# END SOLUTION", cell.source, re.DOTALL):
            lines = [line.strip() for line in block.partition("# GIVEN")[0].splitlines()]
            blocks.append([line for line in lines if line])
    return blocks


def test_the_pack_holds_no_solution(pack: Path, tmp_path: Path) -> None:
    held = texts(unpacked(pack, tmp_path))
    assert len(held) > 3 * len(EXERCISES)
    assert not any("solutions/" in name for name in held)
    for name in EXERCISES:
        blocks = repaired_lines(name)
        assert blocks
        for file, text in held.items():
            lines = {line.strip() for line in text.splitlines()}
            assert not any(set(block) <= lines for block in blocks), f"{name} is solved in {file}"


def test_the_wheel_holds_no_loss_that_an_exercise_asks_for(pack: Path, tmp_path: Path) -> None:
    """Nor the course's own form of it, which the exercise names at its end."""
    held = texts(unpacked(pack, tmp_path))
    code = "\n".join(text for name, text in held.items() if name.startswith("course_losses/"))
    defined = {
        node.name
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }
    assert {"DiceLoss", "check", "driving_scenes"} <= defined
    answers = {"PerceptualLoss", "UncertaintyWeighting"}
    for name in EXERCISES:
        rubric = held[f"test_{name}.py"]
        answers.update(re.findall(r'"(\w+)"', re.findall(r"^NEEDS = (.*)$", rubric, re.M)[0]))
        if name.startswith("hunt_"):
            answers.update(re.findall(r"{py:class}`\.(\w+)`", held[f"{name}.ipynb"]))
    assert {"TverskyLoss", "GIoULoss", "nt_xent", "NTXentLoss"} <= answers
    assert defined & answers == set()


def test_a_learner_starts_at_nothing_and_reaches_full_marks(desk: Path) -> None:
    where = run(desk, "-c", "import course_losses; print(course_losses.__file__)")
    assert where.startswith(str(desk)), where
    untouched = desk / "exercises" / "tversky" / "tversky.ipynb"
    assert "not attempted" in check(desk, untouched).lower()
    assert "not attempted" in run(desk, "-c", RUN_ALL, str(untouched)).lower()
    right = solved(desk, "tversky")
    assert "10 of 10 points" in check(desk, right)
    assert "10 of 10 points" in run(desk, "-c", RUN_ALL, str(right))


SOLVE_ALL = """
import sys
from importlib import import_module
from pathlib import Path
from course_losses.grading.notebook import solution_names
from course_losses.grading.selfcheck import self_check
for module, name in (line.split() for line in sys.argv[2].splitlines()):
    getattr(import_module(module), name)
for path in sorted(Path(sys.argv[1]).glob("*.ipynb")):
    verdicts = self_check(path.stem, solution_names(path))
    print(path.stem, *(v.outcome for v in verdicts))
"""


def test_every_exercise_of_the_pack_can_be_solved_with_its_package(desk: Path) -> None:
    """Nothing that a rubric or a notebook needs was cut from it."""
    used = [
        f"course_losses.{module} {name}".replace(".__init__", "")
        for notebook in desk.glob("exercises/*/*.ipynb")
        for module, name in imported(notebook)
    ]
    assert len(used) > 4
    told = run(desk, "-c", SOLVE_ALL, str(ROOT / "solutions"), "\n".join(used))
    rows = [line.split() for line in told.splitlines()]
    assert [name for name, *_ in rows] == EXERCISES
    assert {outcome for _, *outcomes in rows for outcome in outcomes} == {"passed"}


@pytest.fixture(scope="module")
def archive(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dist.book(site, tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="module")
def folder(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(archive, tmp_path_factory.mktemp("unpacked"))


def test_the_zip_is_the_whole_site_under_forty_megabytes(site: Path, folder: Path) -> None:
    def files(root: Path) -> set[str]:
        found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
        return {path for path in found if not path.startswith(".")}

    assert files(folder) == files(site) | {"README.txt", "LICENSE", "LICENSE-text"}
    assert "index.html" in (folder / "README.txt").read_text()
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 40e6


def test_both_zips_are_the_same_bytes_when_made_again(
    site: Path, archive: Path, pack: Path, tmp_path: Path
) -> None:
    later = tmp_path / "later"
    shutil.copytree(site, later, copy_function=shutil.copy)  # with the times of now
    assert dist.book(later, tmp_path).read_bytes() == archive.read_bytes()
    assert dist.pack(tmp_path).read_bytes() == pack.read_bytes()


def test_the_zip_opens_by_double_click_without_a_network(folder: Path, browser: Browser) -> None:
    complaints: list[str] = []
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    page.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "data:")) or complaints.append(request.url)
        ),
    )
    page.goto((folder / "index.html").as_uri())
    page.wait_for_url("**/book/index.html")
    page.get_by_role("link", name="Regression: losses for numbers").first.click()
    page.wait_for_url("**/book/regression.html")
    page.evaluate("() => window.MathJax.startup.promise")
    assert page.locator("mjx-container").count() > 10
    page.keyboard.press("Control+k")
    page.keyboard.type("tversky")
    page.keyboard.press("Enter")
    page.locator("#search-results li a").first.wait_for()
    page.locator("#search-results li a").first.click()
    page.wait_for_load_state()
    assert page.url.startswith(folder.as_uri())
    assert complaints == []
    context.close()


@pytest.fixture
def quick(
    site: Path, pack: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Where `make dist` writes, with its parts made before."""
    monkeypatch.setattr(dist, "DIST", tmp_path / "dist")
    monkeypatch.setattr(dist, "build_site", lambda room: site)
    monkeypatch.setattr(dist, "pack", lambda room: Path(shutil.copy(pack, room)))
    monkeypatch.setattr(dist, "book", lambda site, room: Path(shutil.copy(archive, room)))
    return tmp_path / "dist"


def test_without_chromium_the_zips_are_written_and_the_rest_is_said(
    quick: Path, pack: Path, archive: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    dist.main()
    assert {path.name for path in quick.iterdir()} == {pack.name, archive.name}
    assert "NOT WRITTEN: the PDF" in capsys.readouterr().out


def test_a_failure_leaves_nothing_half_written(
    quick: Path, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(site: Path, room: Path) -> Path:
        (room / archive_name).write_text("half")
        raise OSError("no space left")

    archive_name = f"course_losses-book-{dist.version()}.zip"
    monkeypatch.setattr(dist, "book", broken)
    with pytest.raises(OSError, match="no space left"):
        dist.main()
    assert [path.name for path in quick.iterdir()] == [pack.name]


@pytest.fixture(scope="module")
def printed(
    site: Path, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PdfReader, str]:
    """A part of the book, small enough to print here, and what its pages say."""
    entries = [
        Entry("", 1, "book/index"),
        Entry("A part", 1),
        Entry("", 2, "book/custom"),
        Entry("", 2, "exercises/tversky/tversky"),
        Entry("Solution", 3, "solutions/tversky"),
    ]
    target = tmp_path_factory.mktemp("pdf") / "book.pdf"
    reader = PdfReader(write_pdf(browser, site, target, "1.2.3", entries))
    return reader, "\n".join(page.extract_text() for page in reader.pages)


def outline(reader: PdfReader, items: Sequence[Destination | list[Destination]]) -> list[object]:
    """Titles; the list after one holds what is below it."""
    return [outline(reader, item) if isinstance(item, list) else item.title for item in items]


def test_the_pdf_has_an_outline_of_parts_chapters_and_sections(
    printed: tuple[PdfReader, str],
) -> None:
    reader, _ = printed
    titles = outline(reader, reader.outline)
    assert titles[0] == "Contents"
    below_part = titles[titles.index("A part") + 1]
    assert isinstance(below_part, list)
    names = [name for name in below_part if isinstance(name, str)]
    assert len(names) == 2
    assert names[1].startswith("Tversky loss")
    sections = below_part[-1]
    assert "The definition" in sections
    assert any(isinstance(name, list) for name in sections)  # the solution's own sections


def test_every_link_of_the_pdf_leads_to_a_place_in_it_or_to_the_web(
    printed: tuple[PdfReader, str],
) -> None:
    reader, _ = printed
    inside = outside = 0
    for page in reader.pages:
        for reference in page.get("/Annots", []):
            note = reference.get_object()
            if "/Dest" in note:
                assert str(note["/Dest"]).lstrip("/") in {
                    name.lstrip("/") for name in reader.named_destinations
                }
                inside += 1
            else:
                assert str(note["/A"]["/URI"]).startswith("https://"), note["/A"]
                outside += 1
    assert inside > len(reader.outline)  # more than the contents
    assert outside > 2


def test_the_contents_of_the_pdf_tell_the_page(printed: tuple[PdfReader, str]) -> None:
    reader, _ = printed
    places = page_numbers(reader)
    contents = reader.pages[1].extract_text()
    for name in ("book-custom", "exercises-tversky-tversky", "solutions-tversky"):
        page = places[name]
        assert re.search(rf"\b{page}\b", contents), contents
        assert f"\n{page}" in f"\n{reader.pages[page - 1].extract_text()}"  # at its foot


def test_the_pdf_can_be_read_aloud_and_says_what_it_is(printed: tuple[PdfReader, str]) -> None:
    reader, text = printed
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    assert reader.metadata is not None
    assert reader.metadata.title == "Loss functions"
    assert "Version 1.2.3" in text


def test_paper_shows_answers_at_the_end_and_no_hidden_code(
    printed: tuple[PdfReader, str],
) -> None:
    _, text = printed
    question = text.index("Question 1.")
    answers = text.index("Answers to the questions", question)
    assert "Not quite." not in text[:answers]
    assert re.search(r"1[a-d] Right\.", text[answers:])
    assert "Show the code" not in text
    assert "import matplotlib" not in text
    assert "write your code here" in text
