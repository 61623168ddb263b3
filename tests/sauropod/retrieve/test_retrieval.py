"""retrieve.retrieval: what a row needs, and how its result adds up (files: tests/stages)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sauropod import schema
from sauropod.config import Retrieve
from sauropod.errors import InputError
from sauropod.retrieve import index, kmeans, retrieval
from sauropod.retrieve.clusters import assigned
from sauropod.retrieve.recipe import parse
from sauropod.retrieve.vectors import StoredVectors


def _embeddings(path: Path, values: np.ndarray, start: int = 0) -> Path:
    values = values / np.linalg.norm(values, axis=1, keepdims=True)
    ids = np.arange(start, start + len(values), dtype=np.uint64)
    frame = pl.DataFrame({"image_id": ids, "embedding": schema.vector_column(values)})
    schema.write(frame, path, schema.EMBEDDINGS, made_by={})
    return path


@pytest.fixture
def pool(tmp_path: Path) -> retrieval.Pool:
    """Forty images near each of three axes; clusters are the axes."""
    rng = np.random.default_rng(0)
    values = np.repeat(np.eye(3, 8), 40, axis=0) + 0.05 * rng.standard_normal((120, 8))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    embeddings = _embeddings(tmp_path / "pool.parquet", values)
    stored = StoredVectors([embeddings], schema.EMBEDDINGS)
    built = index.fit(stored, factory="Flat", training=index.Training())
    index.save(built, tmp_path / "pool.faiss")
    axes = np.eye(3, 8, dtype=np.float32)
    kmeans.save(axes, tmp_path / "axes.safetensors", objectives=[], metadata={})
    rows = [{"image_id": i, "sha256": f"{i * 7919:064x}", "status": "ok"} for i in range(120)]
    images = pl.DataFrame(rows, schema=dict(schema.IMAGES.columns))
    schema.write(images, tmp_path / "images.parquet", schema.IMAGES, made_by={})
    paths, origin = (embeddings, tmp_path / "images.parquet"), tmp_path / "axes.safetensors"
    clusters, _ = assigned(paths, axes, origin=origin)
    schema.write(clusters, tmp_path / "clusters.parquet", schema.CLUSTERS, made_by={})
    return retrieval.Pool(
        embeddings=[embeddings],
        index=[tmp_path / "pool.faiss"],
        shards=[1],
        centroids=tmp_path / "axes.safetensors",
        clusters=[tmp_path / "clusters.parquet"],
    )


def _rows(result: retrieval.Result) -> dict[tuple[str, str], int]:
    return {(stage, reason): rows for stage, _, reason, rows in result.summary.iter_rows()}


def test_cluster_mode_adds_up(pool: retrieval.Pool, tmp_path: Path) -> None:
    """Five queries in cluster 0, four in 2, three in 1: more than three are needed."""
    values = np.repeat(np.eye(3, 8)[[0, 2, 1]], [5, 4, 3], axis=0)
    queries = [_embeddings(tmp_path / "q.parquet", values, 1000)]
    knobs = Retrieve(per_cluster=50, cap=60)
    result = retrieval.run(parse("d:cluster"), queries, pool, knobs)
    assert set(result.neighbours["cluster"]) == {0, 2}
    expected = {("retrieve", "kept"): 60, ("retrieve", "cluster_too_small"): 20}
    expected |= {("retrieve", "cap"): 20, ("retrieve_distinct", "kept"): 60}
    assert _rows(result) == expected


def test_sample_mode_adds_up(pool: retrieval.Pool, tmp_path: Path) -> None:
    queries = [_embeddings(tmp_path / "q.parquet", np.repeat(np.eye(1, 8), 5, axis=0), 1000)]
    result = retrieval.run(parse("d:sample:4"), queries, pool, Retrieve())
    expected = {("retrieve", "kept"): 20, ("retrieve_distinct", "kept"): 4}
    expected |= {("retrieve_distinct", "collision"): 16, ("retrieve_audit", "kept"): 20}
    assert _rows(result) == expected
    assert result.neighbours["query_id"].unique().sort().to_list() == list(range(1000, 1005))


def test_user_mistakes_are_one_sentence(pool: retrieval.Pool, tmp_path: Path) -> None:
    nothing = retrieval.Pool(embeddings=[], index=[], shards=[], centroids=None, clusters=[])
    queries = [_embeddings(tmp_path / "q.parquet", np.eye(2, 5), 1000)]
    with pytest.raises(InputError, match="--index: expected a file for d:sample:1"):
        retrieval.run(parse("d:sample:1"), queries, nothing, Retrieve())
    for row in ("d:sample:1", "d:cluster"):
        with pytest.raises(InputError, match="5 dimensions as the queries have, found 8"):
            retrieval.run(parse(row), queries, pool, Retrieve())
    with pytest.raises(InputError, match="--index-shards: expected 1 numbers that add up to 1"):
        retrieval.run(parse("d:sample:1"), queries, replace(pool, shards=[2]), Retrieve())
    with pytest.raises(InputError, match="embeddings of its images"):
        retrieval.run(parse("d:cluster"), [], pool, Retrieve())
