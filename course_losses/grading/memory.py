"""What the processes of a sandbox hold together: a limit for each does not bound their sum."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

INTERVAL = 0.1
# Pages that are nobody's file; shared ones count once in the second list, each time in the first.
AT_MOST = ("RssAnon", "RssShmem", "VmSwap")
EXACT = ("Pss_Anon", "Pss_Shmem", "SwapPss")


class TooMuchMemoryError(Exception):
    """The processes of one notebook hold more than they may."""


class Watch:
    """Looks at everything below a process, so often that looking costs next to nothing.

    Args:
        root: the process that starts the others; what it and they hold now is not counted.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._quiet = below(root)
        self._held = held(self._quiet)
        self._next = 0.0

    def look(self, limit: int) -> None:
        """Does nothing unless the last look was an ``INTERVAL`` ago.

        Raises:
            TooMuchMemoryError: more than ``limit`` bytes are held by several processes.
        """
        now = time.monotonic()
        if now < self._next:
            return
        pids = below(self._root)
        several = len(pids) > len(self._quiet) + 1  # one alone is bound by its own limit
        if several and held(pids, limit + self._held) - self._held > limit:
            raise TooMuchMemoryError
        self._next = time.monotonic() + INTERVAL


def below(pid: int) -> list[int]:
    """This process, those that it has started, and those that they have."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for thread in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
    return found


def held(pids: Sequence[int], enough: int = 0) -> int:
    """Bytes that processes hold together; where no more than ``enough``, a quick upper bound."""
    most = [_sum(f"/proc/{pid}/status", AT_MOST) or 0 for pid in pids]
    if sum(most) <= enough:
        return sum(most)
    exact = [_sum(f"/proc/{pid}/smaps_rollup", EXACT) for pid in pids]
    return sum(m if e is None else e for m, e in zip(most, exact, strict=True))


def _sum(path: str, names: Sequence[str]) -> int | None:
    """The named lines of a table in /proc; None for a process that is gone, or may not be read."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    rows = [line.partition(":") for line in text.splitlines()]
    return sum(int(value.split()[0]) << 10 for name, _, value in rows if name in names)
