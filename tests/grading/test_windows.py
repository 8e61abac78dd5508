"""The learner's commands where what Windows lacks is taken away; on Windows itself nobody ran it.

Taken away are: what of `os`, `signal` and `socket` exists on Unix alone, for everyone; Unix's own
modules, for the course; and UTF-8 as what files and streams are read and written in.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from grading.conftest import EXERCISES, notebook
from grading.test_progress import SWAPPED, copy
from grading.variants.tversky import DEFINITION

from course_losses.grading.sandbox import Limits
from course_losses.grading.slot import Slot
from course_losses.grading.windows import Interpreter

# Python's own parts that are told apart by `sys.platform` keep what they need: SIGKILL, AF_UNIX.
TAKEN_AWAY = """
import builtins, os, signal, socket
for module, names in {
    os: "fork forkpty getuid geteuid getgid getegid setsid killpg chown mkfifo nice sysconf "
        "sched_getaffinity sched_getscheduler getpriority "
        "O_NOFOLLOW O_NONBLOCK O_CLOEXEC setuid setgid setgroups getloadavg",
    signal: "SIGHUP SIGXCPU SIGALRM SIGSTOP SIGUSR1 alarm setitimer pthread_kill",
    socket: "send_fds recv_fds",
}.items():
    for name in names.split():
        delattr(module, name)
UNIX = {"fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
original = builtins.__import__
def imported(name, globals=None, locals=None, fromlist=(), level=0):
    if name in UNIX and (globals or {}).get("__name__", "").startswith("course_losses"):
        raise ModuleNotFoundError(f"No module named {name!r} on Windows")
    return original(name, globals, locals, fromlist, level)
builtins.__import__ = imported
"""
Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def windows(tmp_path: Path) -> Python:
    """Python with all of that taken away, in its child processes too."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(TAKEN_AWAY)
    here = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON"))}
    here |= {"PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    here |= {"PATH": ""}  # no bubblewrap
    here |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(
            line, cwd=tmp_path, env=here, capture_output=True, text=True, check=False
        )

    return run


COMMAND = "from course_losses.grading.cli import main; main()"


def test_the_poison_works(windows: Python) -> None:
    assert windows("import locale; locale.getencoding() == 'utf-8' or exit(3)").returncode == 3
    assert "no attribute 'fork'" in windows("import os; os.fork()").stderr
    code = "exec('import fcntl', {'__name__': 'course_losses.run'})"
    assert "No module named 'fcntl' on Windows" in windows(code).stderr


def test_check_in_the_learner_s_own_process(windows: Python, tmp_path: Path) -> None:
    copy(tmp_path / "tversky")
    code = f"import os; os.chdir('tversky')\n{DEFINITION}\n"
    code += "from course_losses.grading import check\ncheck('tversky')"
    told = windows(code)
    assert told.returncode == 0, told.stderr
    assert "10 of 10 points" in told.stdout


def test_check_and_progress(windows: Python, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        copy(tmp_path / name)
    (tmp_path / "one" / "tversky.ipynb").write_bytes(notebook(SWAPPED))
    (tmp_path / "two" / "tversky.ipynb").write_bytes(notebook("1 / 0", DEFINITION))
    told = windows(COMMAND, "check", tmp_path / "one" / "tversky.ipynb")
    assert told.returncode == 0, told.stderr
    assert "are swapped" in told.stdout
    told = windows(COMMAND, "progress")
    assert told.returncode == 0, told.stderr
    for said in ("are swapped", "code cell 1 raised ZeroDivisionError", "not attempted", "11/30"):
        assert said in told.stdout


def test_grading_says_where_it_runs(windows: Python, tmp_path: Path) -> None:
    told = windows(COMMAND, "grade", tmp_path)
    assert told.returncode == 2
    assert "on Windows run it inside WSL" in told.stderr


@pytest.fixture
def unforked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slot]:
    monkeypatch.delattr(os, "fork")
    slot = Slot(EXERCISES["tversky"], None, wrapped=False, limits=Limits())
    yield slot
    slot.close()


def test_an_interpreter_for_each_notebook(unforked: Slot) -> None:
    assert isinstance(unforked.sandbox, Interpreter)
    before = psutil.Process().children(recursive=True)
    unforked.limits = Limits(timeout=2.0)
    outcome = unforked.grade(notebook("while True: pass"))
    assert (outcome.status, outcome.detail) == ("timeout", "took longer than 2 s")
    unforked.limits = Limits()
    for sources, expected in (
        (["import os\nos._exit(0)"], ("killed", 0, "the notebook's process ended itself")),
        (
            ["import sys\nsys.exit(3)", DEFINITION],
            ("graded", 10, "code cell 1 raised SystemExit: 3"),
        ),
        (["%matplotlib inline\nprint('…')", DEFINITION], ("graded", 10, "")),
    ):
        outcome = unforked.grade(notebook(*sources))
        assert (outcome.status, outcome.score, outcome.detail) == expected
    assert psutil.Process().children(recursive=True) == before
