"""What every stage script shares: flags from `main`'s signature, header, ending, exit codes.

`--config FILE ...` takes the defaults of the knobs from the stage's block of YAML files.
"""

import argparse
import dataclasses
import gc
import inspect
import logging
import os
import platform
import resource
import shlex
import sys
import time
import traceback
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_args

import tyro

from sauropod.errors import Checkpointed, InputError
from sauropod.io import commit
from sauropod.load_config import STAGES, stage_knobs
from sauropod.progress import duration
from sauropod.series import unfold

T = TypeVar("T")
Knobs = Annotated[T, tyro.conf.arg(name="")]  # a dataclass's fields become plain flags
STYLE = (tyro.conf.FlagConversionOff, tyro.conf.AvoidSubcommands)  # booleans are spelt: --x True

VERSIONS_OF = ("torch", "numpy", "polars", "faiss-cpu", "faiss-gpu", "onnxruntime", "pillow")

DONE, BUG, MISTAKE, AGAIN = 0, 1, 2, 75
UNREAD = 141  # what a shell says of a program that SIGPIPE ended


def _versions() -> str:
    found = [f"python {platform.python_version()}"]
    for package in VERSIONS_OF:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _flat(value: object, prefix: str = "") -> list[str]:
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return [f"{prefix}={value}"]
    name = f"{prefix}." if prefix else ""
    fields = dataclasses.fields(value)
    return [line for f in fields for line in _flat(getattr(value, f.name), name + f.name)]


def _unfolded(value: object) -> object:
    """Let every flag that takes several files take `name-{00000..00099}.parquet` too."""
    if isinstance(value, tuple) and value and all(isinstance(item, Path) for item in value):
        return unfold(value)
    return value


def _header(arguments: dict[str, Any]) -> None:
    log = logging.getLogger("sauropod")
    log.info("command: %s", shlex.join([sys.executable, *sys.argv]))
    log.info("commit: %s; host: %s; %s", commit(), platform.node(), _versions())
    for value in arguments.values():
        if dataclasses.is_dataclass(value):
            log.info("knobs: %s", ", ".join(_flat(value)))


def _stop(code: int, message: str) -> NoReturn:
    sys.stderr.write(message.rstrip() + "\n")
    raise SystemExit(code)


def _config_files() -> list[Path]:
    """Peek at what --config names: the defaults of the other flags depend on it."""
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    peek.add_argument("--config", nargs="*", type=Path, default=[])
    return peek.parse_known_args()[0].config


def _with_config(main: Callable[..., None], script: str) -> list[inspect.Parameter]:
    """Parameters of `main` and --config, with what those files say as defaults."""
    parameters = list(inspect.signature(main).parameters.values())
    kinds = [next(iter(get_args(p.annotation)), None) for p in parameters]
    # A script is named like its stage, or is a part of the stage whose knobs it takes.
    stages = [stage for stage, kind in STAGES.items() if kind in kinds]
    if not stages:
        return parameters
    stage = script if script in stages else stages[0]
    defaults = {type(value): value for value in stage_knobs(stage, _config_files())}
    for i, kind in enumerate(kinds):
        if kind in defaults:
            parameters[i] = parameters[i].replace(default=defaults[kind])
    text = f"YAML files whose block `{stage}` gives the knobs' defaults, the later on top."
    config = inspect.Parameter(
        "config",
        inspect.Parameter.KEYWORD_ONLY,
        default=(),
        annotation=Annotated[tuple[Path, ...], tyro.conf.arg(help=text)],
    )
    return [*parameters, config]


def _parse(main: Callable[..., None], name: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {}

    # tyro calls what it parses: it is given the signature, and `run` makes the call.
    def collect(**given: Any) -> None:  # noqa: ANN401
        arguments.update({name: _unfolded(value) for name, value in given.items()})

    parameters = _with_config(main, Path(name).stem)
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    collect.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    collect.__annotations__ = {p.name: p.annotation for p in parameters}
    collect.__doc__ = main.__doc__
    tyro.cli(collect, config=STYLE, prog=name, description=inspect.getdoc(main))
    if "config" not in inspect.signature(main).parameters:  # the files were read for the defaults
        arguments.pop("config", None)
    return arguments


def run(main: Callable[..., None]) -> None:
    """Parse the command line from `main`'s signature, run it and end with the exit code that fits.

    Exit codes: 0 done; 2 the user's mistake, one sentence; 75 checkpointed after a signal, run
    again; 141 nobody reads what it prints; 1 our bug, with traceback.
    """
    # What was imported stays: looked through again at exit, torch alone would take a second.
    gc.freeze()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s", force=True)
    name = Path(sys.argv[0]).name
    start = time.monotonic()
    try:
        arguments = _parse(main, name)
        _header(arguments)
        main(**arguments)
    except InputError as error:
        _stop(MISTAKE, f"{name}: error: {error}")
    except Checkpointed as error:
        _stop(AGAIN, f"{name}: {error}")
    except BrokenPipeError:  # of `--help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush
        _stop(UNREAD, f"{name}: stopped, for what reads its output is gone")
    except KeyboardInterrupt:
        _stop(130, f"{name}: interrupted; outputs are whole or absent, run again to continue")
    except Exception:
        _stop(BUG, f"{traceback.format_exc()}{name}: this is a bug in sauropod, please report it")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    logging.getLogger("sauropod").info(
        "%s: done in %s, peak memory %.0f MiB", name, duration(time.monotonic() - start), peak
    )
