"""Run a stage script in this process, and read what it counted."""

import importlib
import io
import logging
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import polars as pl

from sauropod import cli, schema


def script(name: str) -> ModuleType:
    """Import a stage script; some are named like a builtin."""
    return importlib.import_module(name)


def summary_of(path: Path) -> dict[tuple[str, str], int]:
    """(stage, reason) -> rows of a SUMMARY, shards added up."""
    frame = schema.read(path, schema.SUMMARY).group_by("stage", "reason").agg(pl.col("rows").sum())
    return {(stage, reason): rows for stage, reason, rows in frame.iter_rows()}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def command(name: str, *words: object) -> Ended:
    """Run a stage script's command line in this process (a new one costs a second of imports)."""
    out, err = io.StringIO(), io.StringIO()
    root = logging.getLogger()
    handlers, level, argv = root.handlers[:], root.level, sys.argv
    code: object = 0
    try:
        sys.argv = [f"{name}.py", *map(str, words)]
        with redirect_stdout(out), redirect_stderr(err):
            cli.run(script(name).main)
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.argv = argv
        root.handlers[:] = handlers
        root.setLevel(level)
    assert isinstance(code, int)
    return Ended(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())
