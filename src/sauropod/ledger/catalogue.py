"""Which files of a results folder hold which table, and where an image's rows may be.

A file says in its metadata which table it is. Files that differ only in their number are one
series, of which one file is asked; in a series named after a source, the number is the lower half
of the shard number, so that an `image_id` leads to one file of it.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from sauropod import schema
from sauropod.errors import InputError
from sauropod.schema import Table

FOLDER = "forget"
"""Folder of `results` that `forget` keeps its own tables in; they tell of no image."""
PART = 0xFFFF
_NUMBERED = re.compile(r"(.+)-(\d{5})(\..+)")
_TABLES = {table.name: table for table in schema.TABLES}


@dataclass(frozen=True)
class Series:
    """Files of one table that differ only in their number; a single file has the number None."""

    table: Table
    stage: str
    source: str
    files: dict[int | None, Path]


class Catalogue:
    """The tables below a results folder."""

    def __init__(self, results: Path) -> None:
        """List the files and ask one of every series what it is.

        Raises:
            InputError: no such folder, or no table in it.
        """
        self.results = results
        fix = "name the folder `results` of a run"
        if not results.is_dir():
            raise InputError(results, expected="a folder of results", found="none", fix=fix)
        self.series = [series for series in self._series() if series is not None]
        if not self.series:
            raise InputError(results, expected="tables of a run", found="none", fix=fix)

    def _series(self) -> Iterator[Series | None]:
        groups: dict[tuple[Path, str, str], dict[int | None, Path]] = {}
        for path in sorted(self.results.rglob("*.parquet")):
            if path.name.startswith(".") or path.relative_to(self.results).parts[0] == FOLDER:
                continue
            found = _NUMBERED.fullmatch(path.name)
            head, number, tail = found.groups() if found else (path.stem, None, path.suffix)
            group = groups.setdefault((path.parent, head, tail), {})
            group[int(number) if number else None] = path
        for (_, head, _), files in groups.items():
            path = next(iter(files.values()))
            table = _TABLES.get(pl.read_parquet_metadata(path).get("table", ""))
            stage = path.relative_to(self.results).parts[0]
            yield Series(table, stage, head, files) if table else None

    @cached_property
    def sources(self) -> frozenset[str]:
        """Sources whose shards there are."""
        images = (s for s in self.series if s.table is schema.IMAGES)
        return frozenset(s.source for s in images if None not in s.files)

    def files(
        self, table: Table, *, stage: str = "", shards: Collection[int] | None = None
    ) -> list[Path]:
        """Files of a table.

        Args:
            table: Which table.
            stage: Only in this folder; empty is everywhere.
            shards: Only where images of these shards may be; None is everywhere.
        """
        parts = None if shards is None else {shard & PART for shard in shards}
        found = []
        for series in self.series:
            if series.table is not table or stage not in ("", series.stage):
                continue
            sharded = parts is not None and series.source in self.sources
            found += [p for n, p in series.files.items() if not sharded or n is None or n in parts]
        return found

    def place(self, tar: str) -> Path:
        """Where a tar named in a table is: tables name files from the folder of the run."""
        beside = self.results.parent / tar
        return beside if beside.exists() else Path(tar)


def rows(path: Path, table: Table, predicate: pl.Expr) -> list[dict[str, Any]]:
    """Rows of one file that a predicate holds for; vectors are left out.

    Row groups whose statistics exclude the predicate are not read.
    """
    kept = [name for name, kind in table.columns.items() if not isinstance(kind, pl.Array)]
    return schema.scan(path, table).filter(predicate).select(kept).collect().rows(named=True)
