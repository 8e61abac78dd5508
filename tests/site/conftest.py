"""The built book, a folder of pages built for one test, a browser without a network."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
JUPYTER_BOOK = Path(sys.executable).with_name("jupyter-book")
FLAGS = ["-W", "-n", "--keep-going", "--quiet"]
QUIET_CHROMIUM = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

Build = Callable[[Mapping[str, str]], tuple[str, Path]]


def build(source: Path, output: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [JUPYTER_BOOK, "build", source, *FLAGS, "--path-output", output],
        cwd=source,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole book, built from nothing where no library of the package can be imported."""
    poison = tmp_path_factory.mktemp("poison")
    for name in ("matplotlib", "numpy", "safetensors", "scipy", "sklearn", "torch"):
        text = f"raise ImportError('the book must build without {name}')"
        (poison / f"{name}.py").write_text(text)
    output = tmp_path_factory.mktemp("site")
    result = build(ROOT, output, PYTHONPATH=str(poison))
    assert result.returncode == 0, result.stdout
    return output / "_build" / "html"


@pytest.fixture
def small_book(tmp_path: Path) -> Build:
    """Builds the given pages, the first as the root, with the book's own settings.

    Gives what the build said and the folder of the result.
    """

    def built(pages: Mapping[str, str]) -> tuple[str, Path]:
        shutil.copytree(
            ROOT / "book",
            tmp_path / "book",
            ignore=shutil.ignore_patterns("*.ipynb", "*.md", "__pycache__"),
        )
        for name in ("_config.yml", "constraints.txt"):
            shutil.copy(ROOT / name, tmp_path)
        for name, text in pages.items():
            (tmp_path / "book" / name).write_text(text, encoding="utf-8")
        names = [Path(name).stem for name in pages]
        toc = f"format: jb-book\nroot: book/{names[0]}\n"
        if names[1:]:
            toc += "chapters:\n" + "".join(f"  - file: book/{name}\n" for name in names[1:])
        (tmp_path / "_toc.yml").write_text(toc, encoding="utf-8")
        return build(tmp_path, tmp_path).stdout, tmp_path / "_build" / "html" / "book"

    return built


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=QUIET_CHROMIUM)
        yield chromium
        chromium.close()


class SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def served(site: Path) -> Iterator[str]:
    """The address of the built book on a server of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SilentHandler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
