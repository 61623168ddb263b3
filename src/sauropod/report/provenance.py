"""Which code and knobs made every file, and how long each rule took."""

import csv
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from safetensors import SafetensorError, safe_open

from sauropod.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """One file and the provenance in its metadata (empty words when it carries none)."""

    path: str
    stage: str
    commit: str
    rows: str
    knobs: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Timing:
    """One rule: jobs, seconds in all, the longest job, peak memory of any job in MiB."""

    rule: str
    jobs: int
    seconds: float
    longest: float
    peak_mib: float


def _metadata(path: Path) -> dict[str, str]:
    if path.suffix == ".safetensors":
        with safe_open(path, framework="np") as file:
            return file.metadata() or {}
    return pl.read_parquet_metadata(path)


def made_by(path: Path) -> Made:
    """Read a Parquet or safetensors file's provenance.

    Raises:
        InputError: the file is missing or of another kind.
    """
    try:
        metadata = _metadata(path)
    except (OSError, SafetensorError, pl.exceptions.PolarsError) as error:
        fix = "give files that the stages wrote"
        expected = "a Parquet or safetensors file"
        raise InputError(path, expected=expected, found=str(error), fix=fix) from error
    knobs = json.loads(metadata.get("knobs", "{}")) or {}
    return Made(
        str(path),
        metadata.get("stage", ""),
        metadata.get("commit", ""),
        metadata.get("rows", ""),
        ", ".join(f"{name}={value}" for name, value in sorted(knobs.items())),
        tuple(json.loads(metadata.get("inputs", "[]"))),
    )


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:  # Snakemake writes "-" or NA for jobs too short to measure
        return 0.0


def timings(paths: Sequence[Path]) -> list[Timing]:
    """Add up Snakemake's benchmark files (TSV with columns s and max_rss), by rule.

    The rule is the file's folder (`benchmarks/embed/crawl-00000.tsv`) or, without one, its stem.

    Raises:
        InputError: not a Snakemake benchmark file.
    """
    jobs: dict[str, list[tuple[float, float]]] = {}
    there = [path for path in paths if path.is_file()]
    if missing := len(paths) - len(there):
        log.warning("%d of %d benchmark files are not there: not in the table", missing, len(paths))
    for path in there:
        try:
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file, delimiter="\t"))
        except OSError as error:
            fix = "give files Snakemake wrote to benchmarks/"
            expected = "a Snakemake benchmark file"
            raise InputError(path, expected=expected, found=str(error), fix=fix) from error
        if rows and "s" not in rows[0]:
            fix = "give files Snakemake wrote to benchmarks/"
            found = f"columns {', '.join(map(str, rows[0]))}"
            raise InputError(path, expected="a column s", found=found, fix=fix)
        rule = path.stem if path.parent.name in {"", "benchmarks"} else path.parent.name
        measured = [(_number(row.get("s")), _number(row.get("max_rss"))) for row in rows]
        jobs.setdefault(rule, []).extend(measured)
    found = [
        Timing(
            rule,
            len(times),
            sum(seconds for seconds, _ in times),
            max((seconds for seconds, _ in times), default=0.0),
            max((peak for _, peak in times), default=0.0),
        )
        for rule, times in jobs.items()
    ]
    return sorted(found, key=lambda timing: (-timing.seconds, timing.rule))
