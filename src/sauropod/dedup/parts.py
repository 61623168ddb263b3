"""What a search of one block in another says of itself, so that only what belongs together joins.

Old blocks of a pool are not searched again when a crawl is appended, so a part may outlive what it
was made from: it names the images it was made without, and `check` compares. A duplicate that is
forgotten is in no table any more: `forgotten` writes it into the parts made without it.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from sauropod import schema
from sauropod.dedup.pool import ROW_BITS, SHARDS, names_of
from sauropod.errors import InputError
from sauropod.retrieve.draw import mix
from sauropod.retrieve.vectors import StoredVectors

SEARCHED = ("queries", "pool")
FORGOTTEN = "without_forgotten"
"""Metadata of a part: ids (JSON) of the duplicates it was made without and that are forgotten."""


def made_of(queries: StoredVectors, pool: StoredVectors, *, num_queries: int) -> dict[str, str]:
    """Metadata of a part: its query shards, counts, and what both sides were without.

    Both have been read.
    """
    told = {
        SHARDS: names_of(queries.paths),
        "num_queries": str(num_queries),
        "num_bad": str(sum(queries.dropped.values())),
    }
    for name, stored in zip(SEARCHED, (queries, pool), strict=True):
        told[name] = json.dumps(_selection(*_span(stored), stored.without))
    return told


def check(parts: Sequence[Path], *, duplicates: np.ndarray, knobs: str) -> Mapping[str, str]:
    """Check that parts fit each other and the images that are duplicates now.

    Args:
        parts: PAIRS of the same queries in every block of the pool.
        duplicates: Ids (uint64, ascending) left out now.
        knobs: Spelling of the knobs in `io.stamp`.

    Returns:
        The metadata of one part: `shards` (JSON), `num_queries` and `num_bad` are those of all.

    Raises:
        InputError: no part, or one of another run, other queries, or a stale one.
    """
    told = {path: _metadata(path) for path in parts}
    if not told:
        where, fix = "--parts", "search the pool first"
        raise InputError(where, expected="the parts of a search", found="none", fix=fix)
    first = told[parts[0]]
    fix = "remove it (with the index of the pool's block, if that is older) and run again"
    for path, facts in told.items():
        if facts.get("knobs") != knobs or facts[SHARDS] != first[SHARDS]:
            expected = "a search of the same queries with the same knobs"
            raise InputError(path, expected=expected, found="one of another run", fix=fix)
        for name in SEARCHED:
            then, gone = json.loads(facts[name]), _forgotten(facts)
            if then != _selection(then["first"], then["last"], duplicates, gone):
                expected = "a search among the images that are no duplicates now"
                raise InputError(path, expected=expected, found="one among others", fix=fix)
    return first


def forgotten(facts: Mapping[str, str], duplicates: np.ndarray) -> dict[str, str]:
    """Metadata that a part gets when images are forgotten; none when it was not without them.

    Args:
        facts: Its metadata.
        duplicates: Ids (uint64) to be forgotten that are duplicates still.
    """
    spans = [json.loads(facts[name]) for name in SEARCHED if name in facts]
    inside = {i for i in duplicates.tolist() for s in spans if s["first"] <= i <= s["last"]}
    every = sorted(inside.union(_forgotten(facts).tolist()))
    return {FORGOTTEN: json.dumps(every)} if inside else {}


def _metadata(path: Path) -> Mapping[str, str]:
    schema.check(path, schema.PAIRS)
    return pl.read_parquet_metadata(path)


def _span(stored: StoredVectors) -> tuple[int, int]:
    """The first and the last id that images of these files' shards can have."""
    ids = schema.read(stored.paths, stored.table, ["image_id"])["image_id"].to_numpy()
    low, high = (int(ids.min()), int(ids.max())) if len(ids) else (0, 0)
    return low >> ROW_BITS << ROW_BITS, (high >> ROW_BITS << ROW_BITS) + 2**ROW_BITS - 1


def _forgotten(facts: Mapping[str, str]) -> np.ndarray:
    return np.array(json.loads(facts.get(FORGOTTEN, "[]")), np.uint64)


def _selection(first: int, last: int, *without: np.ndarray) -> dict[str, int | str]:
    """A span of ids, and a digest of those left out: their number, and the sum of their mixes."""
    bounds = np.array([first, last + 1], np.uint64)
    inside = [ids[slice(*np.searchsorted(ids, bounds))] for ids in without]
    left_out = np.unique(np.concatenate(inside)) if len(inside) > 1 else inside[0]
    digest = f"{len(left_out)}-{int(mix(left_out).sum(dtype=np.uint64)):016x}"
    return {"first": first, "last": last, "without": digest}
