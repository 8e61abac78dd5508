"""One table a module: CASES that every rule holds for, REFUSED calls with their messages."""

import pkgutil
from importlib import import_module

from losses.case import Case, Refused

_tables = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
CASES: list[Case] = [case for table in _tables for case in table.CASES]
REFUSED: list[Refused] = [row for table in _tables for row in table.REFUSED]
