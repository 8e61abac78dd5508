"""What is handed out, in dist/: the book as a zip and as a PDF, the learner's pack as a zip.

    python -m tools.dist

Each file is made beside its place and moved there when it is whole.
"""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from playwright.sync_api import sync_playwright

from tools.pack import LICENCES, write_pack
from tools.paper import write_pdf

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
BEGINNING = (1980, 1, 1, 0, 0, 0)  # of the times that a zip can tell
README = """\
Loss functions: a course that computes everything it says
=========================================================

Unpack the whole zip first (Windows: right click, Extract All). Then open index.html by
double-click. No network is needed: mathematics, search, quizzes and interactive figures work from
the disk.
"""


def version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def build_site(room: Path) -> Path:
    """The whole book, from nothing: no page of an older build is left in it."""
    program = Path(sys.executable).with_name("jupyter-book")
    flags = ["-W", "-n", "--keep-going", "--quiet", "--path-output", room]
    subprocess.run([program, "build", ROOT, *flags], check=True)
    return room / "_build" / "html"


def zipped(folder: Path) -> Path:
    """Beside the folder; the same bytes for the same files, whenever they were written."""
    target = folder.with_name(f"{folder.name}.zip")
    with ZipFile(target, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            inside = path.relative_to(folder.parent).as_posix()
            entry = ZipInfo(inside, BEGINNING)
            entry.compress_type, entry.external_attr = ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return target


def book(site: Path, room: Path) -> Path:
    folder = room / f"course_losses-book-{version()}"
    shutil.copytree(site, folder, ignore=shutil.ignore_patterns(".*"))
    for licence in LICENCES:
        shutil.copy(ROOT / licence, folder)
    (folder / "README.txt").write_text(README, encoding="utf-8")
    return zipped(folder)


def pack(room: Path) -> Path:
    folder = room / f"course_losses-exercises-{version()}"
    write_pack(version(), folder, room)
    return zipped(folder)


def pdf(site: Path, room: Path, chromium: str) -> Path:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        draft = write_pdf(browser, site, room / f"course_losses-{version()}.pdf", version())
        browser.close()
    return draft


def hand_out(draft: Path) -> None:
    place = draft.replace(DIST / draft.name)
    print(f"{place}: {place.stat().st_size / 1e6:.1f} MB", flush=True)


def main() -> None:
    DIST.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=DIST, prefix=".") as folder:  # the same disk: a move is whole
        room = Path(folder)
        hand_out(pack(room))
        site = build_site(room)
        hand_out(book(site, room))
        if chromium := shutil.which("chromium"):
            hand_out(pdf(site, room, chromium))
        else:
            print("NOT WRITTEN: the PDF needs chromium: apt-get install chromium")


if __name__ == "__main__":
    main()
