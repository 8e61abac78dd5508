"""An IPython without a terminal, and a notebook's cells run in it."""

import os
import sys
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from .host import describe


class Shell(InteractiveShell):
    """Magics and ``display`` work, windows and questions do not."""

    def enable_gui(self, gui: Any = None) -> None:
        """There is no window to open."""

    def init_io(self) -> None:
        """Output goes nowhere: nobody reads it, and printing hidden inputs earns nothing."""

    def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
        """Errors are told to the trusted side instead."""


def new_shell() -> InteractiveShell:
    os.environ["MPLBACKEND"] = "agg"
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = Shell.instance(config=config)
    shell.user_ns["__name__"] = "__main__"
    sys.modules["__main__"] = shell.user_module
    shell.run_cell("0", store_history=False, silent=True)  # type: ignore[no-untyped-call]
    return shell


def run(shell: InteractiveShell, cells: list[Any]) -> list[Any]:
    """Every cell in order, as a notebook is read; those that raise are told, the rest still run."""
    errors: list[Any] = []
    current = 0
    shell.compile.get_code_name = lambda *_: f"<cell {current}>"  # type: ignore[method-assign]
    for number, source in cells:
        current = number
        try:
            result = shell.run_cell(source, store_history=False)  # type: ignore[no-untyped-call]
            error = result.error_before_exec or result.error_in_exec
        except BaseException as raised:
            error = raised
        if error is not None:
            errors.append({"cell": number, **describe(error)})
    return errors[:50]
