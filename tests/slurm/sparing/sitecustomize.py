"""Python reads this at its start when PYTHONPATH has this folder: half of Snakemake's start.

Snakemake's Slurm plugin imports pandas for a report that nobody asks for, at every start of
Snakemake on every node: it waits until it is used. Python looks for garbage in what was imported,
again and again, and once more at its end: it does so seldom. And what is nice is so as a session.
"""

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import LazyLoader, find_spec
from pathlib import Path
from types import ModuleType


class _Lazily(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "pandas":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


sys.meta_path.insert(0, _Lazily())
gc.set_threshold(100_000, 20, 100)
atexit.register(gc.freeze)
with suppress(OSError):  # where it is not, Linux weighs processes, otherwise sessions first
    Path("/proc/self/autogroup").write_text(str(os.getpriority(os.PRIO_PROCESS, 0)))
