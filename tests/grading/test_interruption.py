"""Killed at any moment, on one machine or a cluster: no row is lost, doubled or half-written."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from grading.conftest import ROOT, notebook
from grading.test_run import hand_in, table
from grading.variants.tversky import DEFINITION

from course_losses.grading.sandbox import bubblewrap_fault

SIZE = 60
KILLS = 20
COMMAND = [str(Path(sys.executable).parent / "course-losses"), "grade"]
EXTRA = ["--allow-unsandboxed"] if bubblewrap_fault() else []
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "TERM": "dumb"}


@pytest.fixture
def submissions(tmp_path: Path) -> Path:
    """A class of right solutions; each takes a little while, so that a kill finds one at work."""
    for number in range(SIZE):
        source = f"import time\ntime.sleep(0.05)\n# {number}"
        hand_in(tmp_path / "in", f"student{number:02}", notebook(DEFINITION, source))
    for name in ("exercises", "solutions"):  # a course of its own: that of the checkout may change
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path / "in"


def start(submissions: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    line = [*COMMAND, str(submissions), "--out", str(out), *options, *EXTRA]
    with (submissions.parent / "told").open("ab") as told:
        return subprocess.Popen(
            line, cwd=submissions.parent, env=ENVIRONMENT, stdout=told, stderr=told
        )


def told(submissions: Path) -> str:
    return (submissions.parent / "told").read_text()


def records(out: Path) -> dict[Path, int]:
    """The records on disk, each of which must be whole."""
    found = {}
    for path in (out / "records" / "tversky").glob("[!.]*.json"):
        assert json.loads(path.read_text())["outcome"]["score"] == 10
        found[path] = path.stat().st_mtime_ns
    return found


def test_killed_twenty_times(submissions: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    known: dict[Path, int] = {}
    moments = random.Random(0)
    for _ in range(KILLS):
        process = start(submissions, out, "--jobs", "1")
        enough = len(known) + moments.choice([0, 1, 2, 3])
        end = time.monotonic() + 120
        while len(known) < SIZE and time.monotonic() < end and process.poll() is None:
            if len(list((out / "records" / "tversky").glob("[!.]*.json"))) >= enough:
                time.sleep(moments.random() * 0.1)
                break
            time.sleep(0.02)
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(moments.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        process.wait(60)
        assert not psutil.wait_procs(below, timeout=30)[1]
        before, known = known, records(out)
        assert before.items() <= known.items()
    (out / "records" / "tversky" / ".student00.json.1.part").write_text('{"outcome"')
    process = start(submissions, out)
    assert process.wait(300) == 0, told(submissions)
    assert known.items() <= records(out).items()
    rows = table(out / "grades.csv")
    assert [row["student"] for row in rows] == [f"student{number:02}" for number in range(SIZE)]
    assert {row["score"] for row in rows} == {"10"}
    assert not list(out.rglob("*.part"))


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler and two workers on loopback, each a process of its own."""
    pytest.importorskip("distributed", reason="Dask (to enable: pip install -e '.[cluster]')")
    place = tmp_path / "scheduler.json"
    server = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"]
    started = [_dask(place, *server)]
    while not place.is_file():
        assert started[0].poll() is None
        time.sleep(0.05)
    worker = ["worker", "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    started += [_dask(place, *worker, "--local-directory", str(tmp_path)) for _ in range(2)]
    yield json.loads(place.read_text())["address"], started[1:]
    for process in started:
        process.kill()
        process.wait()


def _dask(place: Path, role: str, *options: str) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", f"distributed.cli.dask_{role}", "--scheduler-file", str(place)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*line, *options], env=ENVIRONMENT, stdout=quiet, stderr=quiet)


def test_a_worker_of_a_cluster_is_killed(
    submissions: Path, tmp_path: Path, scheduler: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    address, workers = scheduler
    out = tmp_path / "out"
    process = start(submissions, out, "--cluster", address)
    end = time.monotonic() + 200
    while len(list((out / "records" / "tversky").glob("[!.]*.json"))) < 10:
        assert process.poll() is None, told(submissions)
        assert time.monotonic() < end
        time.sleep(0.05)
    assert len(records(out)) < SIZE
    workers[0].kill()
    assert process.wait(300) == 0, told(submissions)
    rows = table(out / "grades.csv")
    assert [row["student"] for row in rows] == [f"student{number:02}" for number in range(SIZE)]
    assert {row["score"] for row in rows} == {"10"}


def test_no_scheduler_is_told(submissions: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask (to enable: pip install -e '.[cluster]')")
    process = start(submissions, tmp_path / "out", "--cluster", "tcp://127.0.0.1:1")
    assert process.wait(120) == 2
    assert "no Dask scheduler answers" in told(submissions)
