"""Run one retrieving row of the recipe on files, and account for what it brought.

The summary's first block adds up to the nominal count (queries times N, or clusters times M); a
second says how many of the rows are distinct images, the rest are collisions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from sauropod import schema
from sauropod.config import Retrieve
from sauropod.dedup.copies import Collection
from sauropod.errors import InputError
from sauropod.retrieve import index as nearest
from sauropod.retrieve import kmeans, sample
from sauropod.retrieve.clusters import ClusterFiles
from sauropod.retrieve.draw import smallest, vector_keys
from sauropod.retrieve.recipe import Row
from sauropod.retrieve.vectors import Shard, StoredVectors


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Files of the pool.

    `embeddings` and `index` serve mode sample, `centroids` and `clusters` mode cluster.
    """

    embeddings: Sequence[Path]
    index: Path | None
    centroids: Path | None
    clusters: Sequence[Path]

    def files(self) -> list[Path]:
        """Every file there is."""
        optional = (path for path in (self.index, self.centroids) if path is not None)
        return [*self.embeddings, *optional, *self.clusters]


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
    stored = list(StoredVectors(queries, schema.EMBEDDINGS))
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
    path = _needed(files.index, "--index", row)
    index = nearest.load(path, num_probes=knobs.num_probes)
    pool = Collection(
        index=index, origin=path, stored=StoredVectors(files.embeddings, schema.EMBEDDINGS)
    )
    rows = sample.by_query(
        queries,
        pool,
        dataset=row.dataset,
        per_query=row.per_query,
        over_fetch=knobs.over_fetch,
    )
    nominal = row.per_query * len(queries[0])
    missing = {"pool_too_small": nominal - rows.height}
    hits, truth = _audit(row, queries, pool, knobs)
    return Result(
        neighbours=rows,
        summary=pl.concat(
            [
                schema.summary("retrieve", str(row), kept=rows.height, dropped=missing),
                _distinct(rows, row),
                schema.summary(
                    "retrieve_audit", str(row), kept=hits, dropped={"missed": truth - hits}
                ),
            ]
        ),
    )


def _audit(row: Row, queries: Shard, pool: Collection, knobs: Retrieve) -> tuple[int, int]:
    """True neighbours found, and true neighbours, of a seeded sample of the queries."""
    _, vectors = queries
    chosen = smallest(vector_keys(vectors, seed=knobs.seed, purpose="audit"), knobs.audit)
    some = vectors[chosen]
    count = row.per_query
    found, _ = sample.neighbours(some, pool, count=count, over_fetch=knobs.over_fetch)
    truth, _ = nearest.exact_nearest(some, pool.stored, count=count)
    return nearest.recall(found, truth)


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
        ClusterFiles(files.clusters, len(centroids)),
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
