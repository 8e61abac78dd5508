"""Process 1 of the sandbox: loads torch and IPython once, then forks once per notebook.

It stays single-threaded (a fork after OpenMP has started threads hangs) and non-dumpable (or a
notebook could trace it and rewrite it for the next), and it runs nothing of a notebook itself.
"""

import ctypes
import errno
import gc
import json
import os
import resource
import shutil
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import torch
from IPython.core.interactiveshell import InteractiveShell

from . import wire
from .host import Host
from .shell import new_shell, run

PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 4, 22, 36, 38
# By machine: its number in the kernel, and its system calls shmget, semget, msgget, the three on
# keyrings, memfd_create and memfd_secret. What they make is no process's memory, and may stay.
FORBIDDEN = {
    "x86_64": (0xC000003E, [29, 64, 68, 248, 249, 250, 319, 447]),
    "aarch64": (0xC00000B7, [194, 190, 186, 217, 218, 219, 279, 447]),
}


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    setup = json.loads(control.makefile("r").readline())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if setup["uid"] is not None:  # started by root: the process limit does not bind root
        os.setgroups([])
        os.setresgid(setup["uid"], setup["uid"], setup["uid"])
        os.setresuid(setup["uid"], setup["uid"], setup["uid"])
    if not setup["alone"]:
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
    _prctl(PR_SET_DUMPABLE, 0)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)  # what a notebook starts stays its own user's, and can be killed
    _forbid_hiding_places()
    # A package installed in place is found by a finder of its own, past the one that stands for it.
    sys.meta_path[:] = [f for f in sys.meta_path if "__editable__" not in _module_of(f)]
    shell = new_shell()
    _warm()
    gc.collect()
    gc.freeze()
    control.sendall(b"{}\n")
    untouched = _settings()
    while True:
        message, handles, _, _ = socket.recv_fds(control, 1 << 16, 1)
        if not message:
            return
        job = json.loads(message)
        child = os.fork()
        if child == 0:
            control.close()
            _job(shell, socket.socket(fileno=handles[0]), job)
        os.close(handles[0])
        control.recv(1)  # the trusted side says when the job is over
        status = _clear(child, setup["alone"])
        clean = _settings() == untouched and _empty(setup["folders"])
        control.sendall(json.dumps({"status": status, "clean": clean}).encode() + b"\n")


def _settings() -> list[Any]:
    """What a notebook of the same user could change about this process, and so about the next."""
    names = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
    limits: list[Any] = [resource.getrlimit(getattr(resource, name)) for name in names]
    priority = os.getpriority(os.PRIO_PROCESS, 0)
    if sys.platform != "linux":
        return [limits, priority]
    return [limits, priority, os.sched_getscheduler(0), os.sched_getaffinity(0)]


def _module_of(thing: Any) -> str:
    return str(getattr(thing, "__module__", ""))


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _forbid_hiding_places() -> None:
    """What the kernel keeps outside of all processes: uncounted memory, news for the next notebook.

    A filter of system calls, as instructions: (code, how far to go if true, if false, value).
    """
    if os.uname().machine not in FORBIDDEN or sys.platform != "linux":
        return
    machine, calls = FORBIDDEN[os.uname().machine]
    load, equal, at_least, end = 0x20, 0x15, 0x35, 0x06
    steps = [
        (load, 0, 0, 4),  # the machine that the call is for
        (equal, 0, len(calls) + 2, machine),
        (load, 0, 0, 0),  # the call
        (at_least, len(calls) + 1, 0, 1 << 30),  # the same calls under other numbers
        *(
            (equal, left, 0, call)
            for left, call in zip(range(len(calls), 0, -1), calls, strict=True)
        ),
        (end, 0, 0, 0x7FFF0000),  # let it pass
        (end, 0, 0, 0x00050000 | errno.ENOSYS),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    filled = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(steps), ctypes.addressof(filled))
    ctypes.CDLL(None).prctl(PR_SET_SECCOMP, 2, ctypes.c_char_p(program), 0, 0)


def _warm() -> None:
    """Does once what every notebook would do first."""
    torch.set_num_threads(1)
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    try:
        import matplotlib.pyplot as plt

        plt.close(plt.figure())
    except ImportError:
        pass


def _job(shell: InteractiveShell, link: socket.socket, job: dict[str, Any]) -> NoReturn:
    """One notebook: its cells, then the questions about its names. Never returns."""
    try:
        os.dup2(1, 2)  # the sandbox's own error log is a file: what one writes the next could read
        _limit(job["limits"])
        os.chdir(job["folder"])
        os.environ.update({"HOME": job["folder"], "TMPDIR": job["folder"]})
        sys.path.insert(0, job["folder"])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        _prctl(PR_SET_DUMPABLE, 1)
        pack, receive, send = wire.pack, wire.receive, wire.send
        errors = run(shell, wire.unpack(receive(link)))
        send(link, pack(errors))
        host = Host(shell.user_ns)
        while True:
            send(link, host.answer(receive(link)))
    finally:
        os._exit(0)


def _limit(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            value = min(value, ceiling)
        resource.setrlimit(kind, (value, value))


def _clear(child: int, alone: bool) -> int | None:
    """Kills and reaps everything that the job left; the exit status of its first process."""
    status = None
    end = time.monotonic() + 5
    while time.monotonic() < end:
        _kill_all(child, alone)
        try:
            pid, code = os.waitpid(-1, 0)
        except ChildProcessError:
            break
        if pid == child:
            status = code
    return status


def _kill_all(child: int, alone: bool) -> None:
    # Process -1 is everything in this namespace but process 1.
    for pid in [-1] if alone else _descendants() or [child]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _descendants() -> list[int]:
    """All processes below this one (orphans come back to it)."""
    found = [os.getpid()]
    for pid in found:
        try:
            listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except OSError:
            continue
        found += [int(number) for number in listed.split()]
    return found[1:]


def _empty(folders: list[str]) -> bool:
    """Empties the folders that a job may write to; false when something stays."""
    for folder in folders:
        for path in Path(folder).iterdir():
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if any(Path(folder).iterdir()):
            return False
    return not any(_shared(kind) for kind in ("shm", "msg", "sem"))


def _shared(kind: str) -> bool:
    """Whether System V objects outlive the job."""
    try:
        return Path(f"/proc/sysvipc/{kind}").read_text().count("\n") > 1
    except OSError:
        return False
