"""Where no process can be forked, on Windows: an interpreter of its own for each notebook.

It limits nothing but the time, so it serves learners for their own notebooks, not instructors.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .sandbox import BOOT_SECONDS, EndedError, Job, Limits, SandboxError, conversation

START = "from course_losses.grading.sandboxed.windows import main; main()"


class Interpreter:
    """Runs notebooks as :class:`.Sandbox` does, without its walls."""

    @contextmanager
    def job(self, cells: Sequence[tuple[int, str]], limits: Limits) -> Iterator[Job]:
        with (
            socket.create_server(("127.0.0.1", 0)) as door,
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as room,
        ):
            process = subprocess.Popen(
                [sys.executable, "-c", START, str(door.getsockname()[1])],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=room,
            )
            try:
                with _met(door, process) as link, conversation(link, cells, limits) as job:
                    yield job
            except (EOFError, ConnectionError):
                raise EndedError("killed", "the notebook's process ended itself") from None
            finally:
                process.kill()
                process.wait()

    def stop(self) -> None:
        """Nothing outlives a job."""


def _met(door: socket.socket, process: subprocess.Popen[bytes]) -> socket.socket:
    """The connection to an interpreter that has loaded what every notebook needs."""
    door.settimeout(0.2)
    end = time.monotonic() + BOOT_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            link, _ = door.accept()
        except TimeoutError:
            continue
        link.settimeout(BOOT_SECONDS)
        if link.recv(1):
            return link
        link.close()
    raise SandboxError("a second interpreter does not start")
