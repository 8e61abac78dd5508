"""The sandbox of one slot: bubblewrap where it runs, limits and a process of its own everywhere.

Inside stand the interpreter, its packages, ``sandboxed/`` and the course modules that the rubric
lists, all read-only, without network. Neither rubrics nor solutions nor the rest of the course are
there to be found.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import site
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from .memory import TooMuchMemoryError, Watch
from .sandboxed.wire import Deadline, WireError, pack, receive, send, unpack
from .student import Link, Student

PACKAGE = Path(__file__).parent.parent
# Packages that hold the exercises' answers: the course's own and those that its tests compare with.
HIDDEN = (
    "course_losses",
    "kornia",
    "monai",
    "pytorch_metric_learning",
    "segmentation_models_pytorch",
)
START = "import sys; sys.path.insert(0, {0!r}); from sandboxed.zygote import main; main()"
BOOT_SECONDS = 120.0
MAX_PROCESSES = 64
MAX_OUTPUT = 64 << 20


class EndedError(Exception):
    """A job ended before its time: ``status`` is "timeout" or "killed", the message says how."""

    def __init__(self, status: str, message: str) -> None:
        self.status = status
        super().__init__(message)


class SandboxError(Exception):
    """The sandbox itself does not work."""


@dataclass(frozen=True)
class Limits:
    """What one notebook may use: seconds of waiting for it, megabytes for all its processes."""

    timeout: float = 60.0
    memory: int = 2048


@dataclass
class Job:
    """A notebook that runs: its names, and what its cells raised."""

    student: Student
    errors: list[dict[str, Any]]


class Sandbox:
    """Where notebooks run, one after the other; nothing of one is there for the next.

    Args:
        modules: the course's modules that a notebook may import.
        wrapped: use bubblewrap; without it only limits and process separation hold.
    """

    def __init__(self, modules: Sequence[str], wrapped: bool) -> None:
        self.modules, self.wrapped = modules, wrapped
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        _sweep()
        self._room = Path(tempfile.mkdtemp(prefix=f"course-losses-{os.getpid()}-"))
        self._room.chmod(0o755)
        _furnish(self._room, self.modules)
        self._work = "/w" if self.wrapped else str(self._room / "w")
        folders = _writable() if self.wrapped else [self._work]
        self._control, inside = socket.socketpair()
        inside.set_inheritable(True)
        base = "/grader" if self.wrapped else str(self._room)
        command = [sys.executable, "-I", "-B", "-c", START.format(base), str(inside.fileno())]
        if self.wrapped:
            command = [*bubblewrap(self._room), *command]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            pass_fds=[inside.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=_environment(self._work),
            cwd="/",
        )
        inside.close()
        uid = self._lesser_user()
        self._say({"uid": uid, "alone": self.wrapped, "folders": folders})
        self._hear()
        self._watch = Watch(self._process.pid) if sys.platform == "linux" else None

    def _lesser_user(self) -> int | None:
        """Root runs notebooks as a user of their own, if that user can read the interpreter."""
        if os.geteuid() != 0 or not (self.wrapped or _open_to_all()):
            return None
        uid = 1 << 30 | os.getpid()
        if not self.wrapped:
            os.chown(self._work, uid, uid)
        return uid

    def stop(self) -> None:
        if self._process is None:
            return
        self._control.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self._errors.close()
        _remove(self._room)

    @contextmanager
    def job(self, cells: Sequence[tuple[int, str]], limits: Limits) -> Iterator[Job]:
        """Runs a notebook's cells, then stands by for questions about its names.

        Raises:
            EndedError: the notebook took too long, its process died, or it broke the protocol.
        """
        if self._process is None:
            self.start()
        outside, inside = socket.socketpair()
        running = True
        processes = MAX_PROCESSES if self.wrapped else MAX_PROCESSES + _running()
        message = {"limits": _rlimits(limits, processes), "folder": self._work}
        try:
            socket.send_fds(self._control, [json.dumps(message).encode()], [inside.fileno()])
        except OSError as error:
            outside.close()
            raise SandboxError(f"the sandbox is gone: {error.strerror}") from None
        finally:
            inside.close()
        try:
            with conversation(outside, cells, limits, self._watch) as job:
                yield job
        except (EOFError, ConnectionError):
            running = False
            raise EndedError(*_cause(self._finish(), limits)) from None
        finally:
            outside.close()
            if running:
                self._finish()

    def _finish(self) -> int | None:
        """Ends the job and empties the room; the exit status of the notebook's process."""
        try:
            self._control.sendall(b".")
            told = self._hear()
        except (SandboxError, OSError):
            told = {"status": None, "clean": False}
        if not told["clean"]:
            self.stop()
        return told["status"] if isinstance(told["status"], int) else None

    def _say(self, message: dict[str, Any]) -> None:
        self._control.sendall(json.dumps(message).encode() + b"\n")

    def _hear(self) -> dict[str, Any]:
        deadline, line = Deadline(BOOT_SECONDS), b""
        try:
            while not line.endswith(b"\n"):
                part = deadline.wait(self._control, lambda: self._control.recv(1 << 16))
                if not part:
                    raise EOFError
                line += part
        except (EOFError, OSError):
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip()[-800:]
            raise SandboxError(f"the sandbox did not answer: {said or 'it is gone'}") from None
        return dict(json.loads(line))


@contextmanager
def conversation(
    link: socket.socket,
    cells: Sequence[tuple[int, str]],
    limits: Limits,
    watch: Watch | None = None,
) -> Iterator[Job]:
    """A process at the other end of ``link`` runs the cells, then answers questions."""
    deadline = Deadline(limits.timeout, partial(watch.look, limits.memory << 20) if watch else None)

    def ask(frame: bytes) -> bytes:
        send(link, frame, deadline)
        return receive(link, deadline)

    try:
        errors = unpack(ask(pack([list(cell) for cell in cells])))
        yield Job(Student(Link(ask)), _checked(errors))
    except TimeoutError:
        raise EndedError("timeout", f"took longer than {limits.timeout:g} s") from None
    except TooMuchMemoryError:
        told = f"its processes together held more than {limits.memory} MB of memory"
        raise EndedError("killed", told) from None
    except WireError as error:
        raise EndedError("killed", f"broke the grader's protocol: {error}") from None


def _checked(errors: Any) -> list[dict[str, Any]]:
    """What the cells raised, as the notebook's process tells it."""
    if not isinstance(errors, list) or not all(isinstance(error, dict) for error in errors):
        raise WireError("a malformed list of errors")
    parts = [(e.get("cell"), e.get("type"), e.get("text")) for e in errors[:50]]
    if not all(
        type(cell) is int and isinstance(kind, str) and isinstance(text, str)
        for cell, kind, text in parts
    ):
        raise WireError("a malformed error")
    return [{"cell": cell, "type": kind[:100], "text": text[:500]} for cell, kind, text in parts]


def _cause(status: int | None, limits: Limits) -> tuple[str, str]:
    """Why a process is gone, from its exit status."""
    if status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            return "timeout", f"used more than {limits.timeout:g} s of processor time"
        return "killed", f"the notebook's process died: {_named(number)}"
    return "killed", "the notebook's process ended itself"


def _named(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return f"signal {number}"


def _rlimits(limits: Limits, processes: int) -> dict[str, int]:
    return {
        "RLIMIT_CPU": int(limits.timeout) + 1,
        "RLIMIT_AS": (limits.memory << 20) + _loaded(),
        "RLIMIT_FSIZE": MAX_OUTPUT,
        "RLIMIT_NPROC": processes,
        "RLIMIT_NOFILE": 256,
        "RLIMIT_CORE": 0,
        "RLIMIT_MSGQUEUE": 0,
    }


def _running() -> int:
    """How many threads this user runs: without a namespace of their own, a notebook's are added."""
    count = 0
    for task in Path("/proc").glob("[0-9]*/task"):
        with suppress(OSError):
            count += len(list(task.iterdir())) if task.stat().st_uid == os.getuid() else 0
    return count


@cache
def _open_to_all() -> bool:
    """Whether every user may read the interpreter and its packages."""
    return all(
        folder.stat().st_mode & 0o005 == 0o005
        for place in [*_interpreter(), str(Path(sys.executable).resolve().parent), *_packages()]
        for folder in (Path(place), *Path(place).parents)
    )


@cache
def _loaded() -> int:
    """The address space that torch takes before a notebook's first line."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 4 << 30
    return pages * os.sysconf("SC_PAGE_SIZE") + (256 << 20)


def _environment(work: str) -> dict[str, str]:
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    places = {"HOME": work, "TMPDIR": work, "PATH": "/usr/bin:/bin", "MPLCONFIGDIR": work}
    return {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", **threads, **places}


def _sweep() -> None:
    """Removes the rooms of grading processes that were killed."""
    for room in Path(tempfile.gettempdir()).glob("course-losses-[0-9]*-*"):
        try:
            os.kill(int(room.name.split("-")[2]), 0)
        except ProcessLookupError:
            _remove(room)
        except (OSError, ValueError, OverflowError):
            continue


def _remove(room: Path) -> None:
    """Deletes a room, however deep its folders are and whatever their modes."""
    for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
        subprocess.run([*command, str(room)], stderr=subprocess.DEVNULL, check=False)


def _furnish(room: Path, modules: Sequence[str]) -> None:
    """The folder that becomes ``/grader``: the host, and the course modules that are open."""
    inside = Path(__file__).parent / "sandboxed"
    skip = shutil.ignore_patterns("__pycache__", "course_losses")
    shutil.copytree(inside, room / "sandboxed", ignore=skip)
    shutil.copytree(inside / "course_losses", room / "course_losses")
    (room / "w").mkdir()
    for name in modules:
        source = PACKAGE / name
        if source.is_dir():
            shutil.copytree(source, room / "course_losses" / name)
        else:
            shutil.copy(source.with_suffix(".py"), room / "course_losses")


def bubblewrap(room: Path) -> list[str]:
    """The command line in front of the interpreter's."""
    options = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--as-pid-1"]
    options += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if os.geteuid() == 0:
        # A user namespace of root's would leave the process limit void; the zygote drops root.
        options += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        options += ["--unshare-user", "--disable-userns", "--uid", "65534", "--gid", "65534"]
    for path in map(Path, ("/bin", "/lib", "/lib32", "/lib64", "/sbin")):
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    options += [
        "--ro-bind",
        "/usr",
        "/usr",
        "--ro-bind-try",
        "/etc/ld.so.cache",
        "/etc/ld.so.cache",
    ]
    options += ["--ro-bind-try", "/etc/alternatives", "/etc/alternatives"]
    options += ["--perms", "1777", "--size", str(MAX_OUTPUT), "--tmpfs", "/tmp"]
    for folder in _interpreter():
        for parent in reversed(Path(folder).parents[:-1]):  # bubblewrap's own would be private
            options += ["--dir", str(parent)]
        options += ["--ro-bind", folder, folder]
    for folder in _packages():
        for name in HIDDEN:
            if (Path(folder) / name).is_dir():
                options += ["--tmpfs", f"{folder}/{name}", "--remount-ro", f"{folder}/{name}"]
    options += ["--ro-bind", str(room), "/grader", "--proc", "/proc", "--dev", "/dev"]
    options += ["--perms", "1777", "--size", str(MAX_OUTPUT), "--tmpfs", "/dev/shm"]
    options += ["--perms", "1777", "--size", str(MAX_OUTPUT), "--tmpfs", "/w"]
    for folder in ("/tmp", "/dev", "/"):
        options += [] if folder in _writable() else ["--remount-ro", folder]
    return ["bwrap", *options, "--chdir", "/w"]


def _writable() -> list[str]:
    """The folders inside that a notebook may write to, and that are emptied after it."""
    below_tmp = any(Path(folder).is_relative_to("/tmp") for folder in _interpreter())
    return ["/w", "/dev/shm", *([] if below_tmp else ["/tmp"])]


def _packages() -> list[str]:
    folders = [
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        *site.getsitepackages(),
    ]
    return sorted({str(folder) for folder in folders if Path(str(folder)).is_dir()})


def _interpreter() -> list[str]:
    """The folders that hold Python and its packages, each bound at its own path, outermost only."""
    real = Path(sys.executable).resolve().parent.parent
    places = {Path(sys.prefix), Path(sys.base_prefix), real, *map(Path, _packages())}
    outer = [p for p in places if not any(q in p.parents for q in places)]
    return sorted(str(p) for p in outer if not p.is_relative_to("/usr"))


@cache
def bubblewrap_fault() -> str:
    """Why bubblewrap cannot be used here; empty when Python starts in it."""
    if sys.platform != "linux" or shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian, Ubuntu: sudo apt install bubblewrap)"
    with tempfile.TemporaryDirectory() as room:
        Path(room).chmod(0o755)
        canary = [*bubblewrap(Path(room)), sys.executable, "-I", "-S", "-c", ""]
        told = subprocess.run(canary, capture_output=True, text=True, check=False)
    return f"bubblewrap does not run here: {told.stderr.strip()}" if told.returncode else ""
