"""A learner's hour in a real JupyterLab: open an exercise, run all cells, read what check says."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import psutil
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from grading.conftest import EXERCISES
from grading.variants.tversky import DEFINITION
from playwright.sync_api import Browser, Page, expect

from tests.site.test_pages import AXE_TAGS

SECONDS = 120
# No news, no updates, and cells that stay in the page when they are scrolled out of sight.
SETTINGS = {
    "apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false"},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
SWAPPED = DEFINITION.replace("self.alpha * fp + self.beta * fn", "self.beta * fp + self.alpha * fn")
WRITTEN = {"untouched": None, "right": DEFINITION, "swapped": SWAPPED}


def hand_out(folder: Path, written: str | None) -> None:
    """The exercise's folder without stored outputs, its class as a learner wrote it."""
    exercise = EXERCISES["tversky"]
    folder.mkdir()
    for path in (exercise.rubric, exercise.cases):
        (folder / path.name).write_bytes(path.read_bytes())
    notebook = nbformat.read(exercise.notebook, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if written and cell.id == "tversky-class":
            cell.source = written
    nbformat.write(notebook, folder / "tversky.ipynb")


@pytest.fixture(scope="module")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab on loopback with a token of its own; it ends with its kernels."""
    room = tmp_path_factory.mktemp("lab")
    for name, text in SETTINGS.items():
        path = room / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(text))
    (room / "work").mkdir()
    for name, written in WRITTEN.items():
        hand_out(room / "work" / name, written)
    token = secrets.token_hex()
    places = {
        "HOME": ".",
        "IPYTHONDIR": "ipython",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--ServerApp.root_dir={room / 'work'}"]
    command += ["--LabApp.extension_manager=readonly"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with (room / "log").open("w") as log:
        server = subprocess.Popen(
            command,
            env=os.environ
            | {"JUPYTER_TOKEN": token, "OMP_NUM_THREADS": "1"}
            | {name: str(room / place) for name, place in places.items()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield f"{_address(server, room)}lab/tree/{{}}/tversky.ipynb?token={token}"
    finally:
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        server.terminate()
        for process in psutil.wait_procs(family, timeout=20)[1]:
            process.kill()
        server.wait()


def _address(server: subprocess.Popen[bytes], room: Path) -> str:
    """Where the server listens, as it wrote down for itself."""
    end = time.monotonic() + SECONDS
    while server.poll() is None and time.monotonic() < end:
        for path in (room / "runtime").glob("jpserver-*.json"):
            try:
                return str(json.loads(path.read_text())["url"])
            except ValueError:  # half-written
                continue
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab does not start:\n{(room / 'log').read_text()[-2000:]}")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose every request stays on this machine."""
    context = browser.new_context()
    context.set_default_timeout(1000 * SECONDS)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    assert {urlsplit(url).hostname for url in asked if url.startswith("http")} == {"127.0.0.1"}
    context.close()


def run_all(page: Page, address: str) -> list[list[str]]:
    """Opens a notebook, runs its cells; the rows of the table under the last one."""
    page.goto(address)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator("[data-command='runmenu:run-all']").click()
    tables = page.locator("table.check")
    expect(tables).to_have_count(2, timeout=1000 * SECONDS)
    expect(
        page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']")
    ).to_have_count(0)
    rows = tables.last.locator("tbody tr").all()
    assert barriers(page) == []
    return [[tables.last.locator("caption strong").inner_text()]] + [
        row.locator("th, td").all_inner_texts() for row in rows
    ]


def barriers(page: Page) -> list[str]:
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate(
        "tags => axe.run('table.check', {runOnly: tags}).then(result => result.violations)",
        AXE_TAGS,
    )
    return [f"{violation['id']}: {violation['help']}" for violation in found]


def test_untouched(lab: str, page: Page) -> None:
    headline, *rows = run_all(page, lab.format("untouched"))
    assert headline == ["tversky: 0 of 10 points"]
    assert len(rows) == 7
    for title, points, said in rows:
        assert title.startswith("– ")
        assert points.startswith("0 of ")
        assert said.startswith(("Not attempted yet", "Judged once"))


def test_right(lab: str, page: Page) -> None:
    headline, *rows = run_all(page, lab.format("right"))
    assert headline == ["tversky: 10 of 10 points"]
    assert {(title[:2], said) for title, _, said in rows} == {("✓ ", "passed")}


def test_a_usual_mistake_is_named(lab: str, page: Page) -> None:
    headline, first, *_ = run_all(page, lab.format("swapped"))
    assert headline == ["tversky: 1 of 10 points"]
    assert first[0].startswith("✗ One image")
    assert first[2] == "α and β are swapped, or pred and target: α weighs the false positives."
