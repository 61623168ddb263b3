"""From YAML to checked knobs, and from knobs to the flags of a stage script.

`load` builds the dataclasses strictly: an unknown key, a missing one or a wrong type is one
sentence that names the file, the key and the nearest right word, before Snakemake starts a job.
`words` spells a dataclass in declared order with defaults filled in, so that reordering YAML
reruns nothing and a changed default visibly reruns its stage.
"""

import dataclasses
import difflib
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from sauropod import config
from sauropod.demo import config as demo
from sauropod.errors import InputError
from sauropod.evaluate import config as evaluate
from sauropod.evaluate.dense import config as dense
from sauropod.train import config as train
from sauropod.visualise import config as visualise

T = TypeVar("T")

STAGES: dict[str, type] = {
    "demo": demo.Demo,
    "links": config.Links,
    "ingest": config.Ingest,
    "screen": config.Screen,
    "train_sscd": train.TrainSscd,
    "describe": config.Describe,
    "hash": config.Hash,
    "link": config.Link,
    "dedup": config.Dedup,
    "embedder": train.Pretrain,
    "embed": config.Embed,
    "index": config.Index,
    "cluster": config.Cluster,
    "balance": config.Balance,
    "retrieve": config.Retrieve,
    "manifest": config.Manifest,
    "train_detectors": demo.TrainDetectors,
    "pretrain": train.Pretrain,
    "adapt": train.Adapt,
    "distill": train.Distill,
    "extract": evaluate.Extract,
    "evaluate": evaluate.Evaluate,
    "evaluate_finetune": evaluate.Finetune,
    "evaluate_robustness": evaluate.Robustness,
    "evaluate_segmentation": dense.Segmentation,
    "evaluate_depth": dense.Depth,
    "evaluate_instance": evaluate.Instance,
    "visualise": visualise.Visualise,
}
TRAINED = ("random", "pretrained", "adapted")  # models that every run has
TRAINING = ("train_sscd", "pretrain", "adapt", "distill")  # stages whose speed is a train.Speed
DATA = ("lvd", "uncurated", "balanced", "curated")  # manifests that can be trained on
BLOCKS = (
    *STAGES,
    "data",
    "pool",
    "curated",
    "benchmarks",
    "runs",
    "models",
    "ablations",
    "claims",
    "speed",
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run: where images come from, the knobs of every stage, and speed."""

    pool: tuple[config.Source, ...]
    curated: tuple[config.Source, ...]
    benchmarks: tuple[evaluate.Benchmark, ...]
    knobs: dict[str, Any]
    data: str = "lvd"
    runs: dict[str, train.Pretrain] = field(default_factory=dict)
    data_of_run: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    ablations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    speed: dict[str, dict[str, Any]] = field(default_factory=dict)
    claims: tuple[str, ...] = ()
    demo: bool = False


def _mistake(where: str, *, expected: str, found: str, fix: str) -> InputError:
    return InputError(where, expected=expected, found=found, fix=fix)


def _unknown(where: str, key: object, known: list[str]) -> InputError:
    near = difflib.get_close_matches(str(key), known, n=1)
    fix = f"write {near[0]!r}" if near else f"use one of {', '.join(known)}"
    return _mistake(where, expected="a known knob", found=repr(key), fix=fix)


def _number(text: str, kind: type) -> object:
    """Read a number or truth value given as text: Snakemake's --config, or 1e-5 in YAML."""
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return kind(text)
    except ValueError:
        return text


def _scalar(kind: type, value: object, where: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and kind is not str:
        value = _number(value, kind)
    if isinstance(value, kind) and (kind is not int or not isinstance(value, bool)):
        return value
    found = f"{value!r} ({type(value).__name__})"
    raise _mistake(where, expected=kind.__name__, found=found, fix="correct the value")


def _value(
    kind: Any,  # noqa: ANN401 - a type form
    value: object,
    where: str,
    default: object = None,
) -> object:
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return build(kind, value, where, base=default)  # type: ignore[arg-type]
    if origin is Literal:
        if value not in arguments:
            raise _unknown(where, value, [str(word) for word in arguments])
        return value
    if origin in (Union, types.UnionType):
        inner = next(kind for kind in arguments if kind is not type(None))
        return None if value is None else _value(inner, value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _mistake(where, expected="a list", found=repr(value), fix="put it in brackets")
        if arguments[-1] is Ellipsis:
            return tuple(_value(arguments[0], item, where) for item in value)
        if len(value) != len(arguments):
            expected = f"{len(arguments)} values"
            raise _mistake(where, expected=expected, found=repr(value), fix="correct the list")
        pairs = zip(arguments, value, strict=True)
        return tuple(_value(inner, item, where) for inner, item in pairs)
    return _scalar(kind, value, where)


def _default(f: dataclasses.Field[Any]) -> object:
    if f.default_factory is not dataclasses.MISSING:
        return f.default_factory()
    return None if f.default is dataclasses.MISSING else f.default


def build(kind: type[T], block: object, where: str, *, base: T | None = None) -> T:
    """Build a knob dataclass from a mapping, strictly.

    Args:
        kind: A frozen dataclass.
        block: What YAML gave; None means no change.
        where: File and block, for messages.
        base: What the block changes; None means the defaults of `kind`.

    Raises:
        InputError: unknown key (with the nearest right one), missing key or wrong type.
    """
    block = {} if block is None else block
    if not isinstance(block, Mapping):
        fix = "indent its knobs below it"
        raise _mistake(where, expected="a block of knobs", found=repr(block), fix=fix)
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in block:
        if key not in fields:
            raise _unknown(where, key, list(fields))
    values = {}
    for name, f in fields.items():
        default = _default(f) if base is None else getattr(base, name)
        if name in block:
            values[name] = _value(hints[name], block[name], f"{where}.{name}", default)
        elif base is None and f.default is f.default_factory is dataclasses.MISSING:
            raise _mistake(where, expected=f"the knob {name!r}", found="none", fix="add it")
        else:
            values[name] = default
    return kind(**values)


def _check_blocks(raw: object, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        fix = f"begin it with one of {', '.join(BLOCKS)}"
        raise _mistake(where, expected="blocks of knobs", found=repr(raw), fix=fix)
    for key in raw:
        if key not in BLOCKS:
            raise _unknown(where, key, list(BLOCKS))
    return raw


def read(path: Path) -> Mapping[str, Any]:
    """Read a configuration file without a look into its blocks.

    Raises:
        InputError: The file is not there, no YAML, or has an unknown block.
    """
    try:
        raw = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        found = " ".join(str(error).split())
        raise _mistake(
            str(path), expected="a YAML file", found=found, fix="correct the file"
        ) from error
    return _check_blocks(raw, str(path))


def stage_knobs(stage: str, files: Iterable[Path]) -> tuple[Any, train.Speed]:
    """Knobs and, of a training stage, speed after configuration files, the later on top.

    Raises:
        InputError: The first mistake found; or none of the files has the stage's block.
    """
    knobs, speed, told = STAGES[stage](), train.Speed(), set()
    for path in files:
        raw = read(path)
        told |= raw.keys()
        knobs = build(STAGES[stage], raw.get(stage), f"{path}: {stage}", base=knobs)
        if stage in TRAINING:
            flags = (raw.get("speed") or {}).get(stage)
            speed = build(train.Speed, flags, f"{path}: speed.{stage}", base=speed)
    if told and stage not in told:
        where = ", ".join(map(str, files))
        expected, found = f"a block {stage!r}", f"only {', '.join(sorted(told))}"
        raise _mistake(where, expected=expected, found=found, fix="name a file that has one")
    return knobs, speed


def _named(
    kind: type[T], key: str, raw: Mapping[str, Any], where: str, seen: set[str]
) -> tuple[T, ...]:
    """Build a list of blocks whose names are words, each used once."""
    built = []
    for number, block in enumerate(raw.get(key) or []):
        at = f"{where}: {key}[{number}]"
        one: Any = build(kind, block, at)
        _check_name(one.name, seen, at)
        built.append(one)
    return tuple(built)


def _check_name(name: str, seen: set[str], where: str) -> None:
    if not re.fullmatch(r"\w+", name) or name in seen:
        expected = "a name of letters, digits and underscores, used once"
        raise _mistake(where, expected=expected, found=repr(name), fix="rename it")
    seen.add(name)


def _check_benchmarks(benchmarks: tuple[evaluate.Benchmark, ...], where: str) -> None:
    heads = [one.name for one in benchmarks if one.kind == "classification"]
    for number, one in enumerate(benchmarks):
        at = f"{where}: benchmarks[{number}]"
        checks = [(f"{at}.layout", one.layout, list(evaluate.LAYOUTS[one.kind]))]
        if one.kind == "robustness":
            checks.append((f"{at}.classes_of", one.classes_of, heads))
        for knob, value, known in checks:
            if value not in known:
                raise _unknown(knob, value, known)


def _models(raw: Mapping[str, Any], where: str) -> dict[str, str]:
    """Backbones to measure beside ours: name -> weights file or folder."""
    block, seen, at = raw.get("models") or {}, set(), f"{where}: models"
    if not isinstance(block, Mapping):
        fix = "write them as `name: path`"
        raise _mistake(at, expected="names and files", found=repr(block), fix=fix)
    for name, path in block.items():
        _check_name(str(name), seen, at)
        _scalar(str, path, f"{at}.{name}")
    return dict(block)


def _check_students(students: tuple[str, ...], where: str) -> None:
    for name in students:
        if students.count(name) > 1 or not re.fullmatch(r"\w+", name):
            expected = "architectures, each once"
            raise _mistake(where, expected=expected, found=repr(name), fix="take it out")


def _check_speed(speed: Mapping[str, object], where: str) -> None:
    for stage, flags in speed.items():
        if stage not in STAGES:
            raise _unknown(where, stage, list(STAGES))
        if stage in TRAINING:
            build(train.Speed, flags, f"{where}.{stage}")


def _studies(raw: Mapping[str, Any], known: list[str], where: str) -> dict[str, tuple[str, ...]]:
    """Ablation studies: name -> models of this run, in the order they are compared."""
    studies, seen = {}, set()
    for name, models in (raw.get("ablations") or {}).items():
        at = f"{where}: ablations.{name}"
        _check_name(str(name), seen, at)
        if not isinstance(models, list | tuple) or len(models) < 2:
            fix = "list the models of the study"
            raise _mistake(at, expected="two models or more", found=repr(models), fix=fix)
        for model in models:
            if model not in known:
                raise _unknown(at, model, known)
        studies[name] = tuple(models)
    return studies


def load(raw: Mapping[str, Any], where: str) -> Config:
    """Check a whole configuration.

    Args:
        raw: Parsed YAML.
        where: Name of the file, for messages.

    Raises:
        InputError: the first mistake found.
    """
    raw = _check_blocks(raw, where)
    knobs = {
        stage: build(kind, raw.get(stage), f"{where}: {stage}") for stage, kind in STAGES.items()
    }
    runs, data_of_run = {}, {}
    for name, block in (raw.get("runs") or {}).items():
        overrides = dict(block or {})
        at = f"{where}: runs.{name}"
        data_of_run[name] = _value(Literal[DATA], overrides.pop("data", "lvd"), f"{at}.data")
        runs[name] = build(train.Pretrain, overrides, at, base=knobs["pretrain"])
    _check_students(knobs["distill"].students, f"{where}: distill.students")
    speed = dict(raw.get("speed") or {})
    _check_speed(speed, f"{where}: speed")
    seen: set[str] = set()
    pool, curated = (_named(config.Source, key, raw, where, seen) for key in ("pool", "curated"))
    # A benchmark may be named like a curated set: its shards are called <name>_test, <name>_train.
    taken = {name.rpartition("_")[0] for name in seen if name.endswith(("_test", "_train"))}
    benchmarks = _named(evaluate.Benchmark, "benchmarks", raw, where, taken)
    _check_benchmarks(benchmarks, where)
    if not pool:
        fix = "name at least one source under `pool`"
        raise _mistake(where, expected="a pool", found="none", fix=fix)
    models = _models(raw, where)
    students = [f"distilled_{name}" for name in knobs["distill"].students] or ["distilled"]
    return Config(
        pool=pool,
        curated=curated,
        benchmarks=benchmarks,
        models=models,
        ablations=_studies(raw, [*TRAINED, *students, *runs, *models], where),
        knobs=knobs,
        data=str(_value(Literal[DATA], raw.get("data", "lvd"), f"{where}: data")),
        runs=runs,
        data_of_run=data_of_run,
        speed=speed,
        claims=tuple(raw.get("claims") or ()),
        demo="demo" in raw,
    )


def words(knobs: object, prefix: str = "") -> list[str]:
    """Spell a knob dataclass as command-line words, every knob, in declared order."""
    result: list[str] = []
    for f in dataclasses.fields(knobs):  # type: ignore[arg-type]
        value = getattr(knobs, f.name)
        if dataclasses.is_dataclass(value):
            result += words(value, f"{prefix}{f.name}.")
            continue
        values = value if isinstance(value, tuple) else (value,)
        result += [f"--{prefix}{f.name}".replace("_", "-"), *map(str, values)]
    return result
