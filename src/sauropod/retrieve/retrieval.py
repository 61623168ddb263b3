"""Run one retrieving row of the recipe on files, and account for what it brought.

The summary's first block adds up to the nominal count (queries times N, or clusters times M); a
second says how many of the rows are distinct images, the rest are collisions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from sauropod import schema
from sauropod.config import Retrieve
from sauropod.errors import InputError
from sauropod.retrieve import exact, kmeans, sample, search
from sauropod.retrieve.clusters import ClusterFiles
from sauropod.retrieve.draw import smallest, vector_keys
from sauropod.retrieve.recipe import Row
from sauropod.retrieve.vectors import Shard, StoredVectors


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Files of the pool.

    `embeddings` and `index` serve mode sample, `centroids` and `clusters` mode cluster. Each index
    holds the next so many (`shards`) of the embeddings. What `copies` does not keep is left out.
    """

    embeddings: Sequence[Path]
    index: Sequence[Path]
    shards: Sequence[int]
    centroids: Path | None
    clusters: Sequence[Path]
    copies: Path | None = None

    def files(self) -> list[Path]:
        """Every file there is."""
        single = [path for path in (self.centroids, self.copies) if path is not None]
        return [*self.embeddings, *self.index, *single, *self.clusters]


@dataclass(frozen=True, kw_only=True)
class Result:
    """NEIGHBOURS and SUMMARY of one row."""

    neighbours: pl.DataFrame
    summary: pl.DataFrame


def run(row: Row, queries: Sequence[Path], pool: Pool, knobs: Retrieve) -> Result:
    """Run one row of mode sample or cluster.

    Raises:
        InputError: a file the mode needs is not given, the dataset has no embedding, or its
            embeddings are of another width than the pool's.
    """
    stored = list(StoredVectors(queries, schema.EMBEDDINGS, unit=True))
    if not stored:
        fix = "embed the curated set"
        raise InputError(row.dataset, expected="embeddings of its images", found="none", fix=fix)
    ids = np.concatenate([ids for ids, _ in stored])
    vectors = np.concatenate([vectors for _, vectors in stored])
    if row.mode == "sample":
        return _sample(row, (ids, vectors), pool, knobs)
    return _cluster(row, vectors, pool, knobs)


def _needed(path: Path | None, flag: str, row: Row) -> Path:
    if path is None:
        raise InputError(flag, expected=f"a file for {row}", found="none", fix=f"give {flag}")
    return path


def _sample(row: Row, queries: Shard, files: Pool, knobs: Retrieve) -> Result:
    ids, vectors = queries
    chosen = smallest(vector_keys(vectors, seed=knobs.seed, purpose="audit"), knobs.audit)
    some = ids[chosen], vectors[chosen]
    found, truth = exact.nothing(len(ids)), exact.nothing(len(chosen))
    for block in _blocks(row, files, knobs):
        wanted = {"count": row.per_query, "itself": True}
        mine = search.neighbours(block, queries, over_fetch=knobs.over_fetch, **wanted)
        found = exact.joined(found, mine, count=row.per_query)
        theirs = search.true_neighbours(block, some, **wanted)
        truth = exact.joined(truth, theirs, count=row.per_query)
    hits, true = exact.recall(found[0][chosen], truth[0])
    rows = sample.by_query(queries, found, dataset=row.dataset)
    missing = {"pool_too_small": row.per_query * len(ids) - rows.height}
    return Result(
        neighbours=rows,
        summary=pl.concat(
            [
                schema.summary("retrieve", str(row), kept=rows.height, dropped=missing),
                _distinct(rows, row),
                schema.summary(
                    "retrieve_audit", str(row), kept=hits, dropped={"missed": true - hits}
                ),
            ]
        ),
    )


def _blocks(row: Row, files: Pool, knobs: Retrieve) -> Iterator[search.Block]:
    """Open the blocks of the pool one after the other; each knows its part of the embeddings."""
    where = "--index"
    if not files.index:
        raise InputError(where, expected=f"a file for {row}", found="none", fix="give --index")
    if (len(files.index), sum(files.shards)) != (len(files.shards), len(files.embeddings)):
        where, fix = "--index-shards", "say how many of the embeddings every index holds"
        expected = f"{len(files.index)} numbers that add up to {len(files.embeddings)}"
        raise InputError(where, expected=expected, found=str(files.shards), fix=fix)
    last = 0
    for path, size in zip(files.index, files.shards, strict=True):
        embeddings = files.embeddings[last : last + size]
        stored = StoredVectors(embeddings, schema.EMBEDDINGS, copies=files.copies, unit=True)
        effort = {"num_probes": knobs.num_probes, "over_fetch": knobs.over_fetch}
        yield search.open_block(path, stored, count=row.per_query, **effort)
        last += size


def _cluster(row: Row, queries: np.ndarray, files: Pool, knobs: Retrieve) -> Result:
    path = _needed(files.centroids, "--centroids", row)
    centroids = kmeans.load(path)
    if centroids.shape[1] != queries.shape[1]:
        raise InputError(
            path,
            expected=f"{queries.shape[1]} dimensions as the queries have",
            found=str(centroids.shape[1]),
            fix="embed the pool and the curated sets with the same backbone",
        )
    hit = sample.query_clusters(queries, centroids, min_queries=knobs.min_queries)
    _needed(next(iter(files.clusters), None), "--clusters", row)
    rows, drawn = sample.by_cluster(
        ClusterFiles(files.clusters, len(centroids), files.copies),
        hit,
        dataset=row.dataset,
        per_cluster=knobs.per_cluster,
        cap=knobs.cap,
        seed=knobs.seed,
    )
    nominal = len(hit) * knobs.per_cluster
    dropped = {"cluster_too_small": nominal - drawn, "cap": drawn - rows.height}
    counts = schema.summary("retrieve", str(row), kept=rows.height, dropped=dropped)
    return Result(neighbours=rows, summary=pl.concat([counts, _distinct(rows, row)]))


def _distinct(rows: pl.DataFrame, row: Row) -> pl.DataFrame:
    distinct = rows["image_id"].n_unique()
    collisions = {"collision": rows.height - distinct}
    return schema.summary("retrieve_distinct", str(row), kept=distinct, dropped=collisions)
