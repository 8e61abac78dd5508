"""The command works for an ordinary user as for root, and the process limit binds both."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from grading.conftest import ENABLE, ROOT, notebook
from grading.test_isolation import HOSTILE
from grading.test_run import hand_in, table
from grading.variants.tversky import DEFINITION

from course_losses.grading.sandbox import bubblewrap_fault

BOMB = """
import os, time
forks = 0
try:
    while forks < 200:
        if os.fork() == 0:
            time.sleep(1000)
        forks += 1
finally:
    raise Exception(f"{forks} forks as user {os.getuid()}")
"""
# Closed folders are opened, in a mount namespace of this process alone, for what is needed of them.
OPENED = """
set -e
while [ "$1" != -- ]; do
    mkdir -p "$ROOM$1"
    mount --bind "$1" "$ROOM$1"
    shift
done
shift
while [ "$1" != -- ]; do
    mount --rbind "$ROOM$1" "$1"
    shift
done
shift
exec setpriv --reuid=12345 --regid=12345 --clear-groups "$@"
"""


def private_part(path: Path) -> str:
    """The outermost folder above ``path`` that others may not enter."""
    closed = [p for p in reversed(path.parents) if not p.stat().st_mode & 0o001]
    return str(closed[0]) if closed else ""


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Not ``tmp_path``: every pytest that starts meanwhile would close the folders above it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "out").mkdir()
        (folder / "out").chmod(0o777)
        yield folder


@pytest.mark.parametrize("user", ["this user", "an ordinary user"])
def test_every_user_can_grade(public_folder: Path, user: str) -> None:
    if bubblewrap_fault():
        pytest.skip(ENABLE)
    prefix: list[str] = []
    here = os.environ | {"OMP_NUM_THREADS": "1", "TERM": "dumb", "HOME": str(public_folder)}
    if user == "an ordinary user" and os.geteuid() == 0:
        if not (shutil.which("unshare") and shutil.which("setpriv")):
            pytest.skip("grading as an ordinary user (to enable: sudo apt install util-linux)")
        needed = [Path(sys.base_prefix).resolve(), Path(sys.prefix), ROOT]
        closed = {str(place): private_part(place) for place in needed if private_part(place)}
        here |= {"ROOM": str(public_folder / "room")}
        prefix = ["unshare", "--mount", "bash", "-c", OPENED, "bash"]
        prefix += [*closed, "--", *sorted(set(closed.values())), "--"]
    hand_in(public_folder / "in", "anna", notebook(DEFINITION))
    hand_in(public_folder / "in", "bomb", notebook(BOMB))
    spies = [HOSTILE[name] for name in HOSTILE if "process 1" in name and "kill" not in name]
    hand_in(public_folder / "in", "spy", notebook(*spies))
    command = Path(sys.executable).parent / "course-losses"
    told = subprocess.run(
        [
            *prefix,
            str(command),
            "grade",
            str(public_folder / "in"),
            "--out",
            str(public_folder / "out"),
        ],
        cwd=ROOT,
        env=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    anna, bomb, spy = table(public_folder / "out" / "grades.csv")
    assert "LEAK" not in spy["detail"]
    assert spy["status"] == "error"
    assert (anna["status"], anna["score"]) == ("graded", "10")
    found = re.search(r"(\d+) forks as user (\d+)", bomb["detail"])
    assert found is not None, bomb["detail"]
    assert int(found[1]) < 64
    assert found[2] != "0"
