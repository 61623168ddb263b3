"""Retrieve images of the pool for one curated dataset.

    python src/retrieve.py --dataset imagenet22k --rows imagenet22k:sample:4 \\
        --queries results/embed/imagenet22k-?????.parquet \\
        --embeddings results/embed/crawl-?????.parquet \\
        --index results/index/crawl-block-{00000..00063}.faiss --index-shards 64 64 ... \\
        --centroids results/cluster/centroids.safetensors \\
        --clusters results/cluster/crawl-block-?????.parquet \\
        --copies results/dedup/copies.parquet --out results/retrieve/imagenet22k.parquet \\
        --summary results/retrieve/imagenet22k.summary.parquet
"""

from pathlib import Path

import polars as pl

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Retrieve
from sauropod.retrieve import recipe, retrieval


def main(
    dataset: str,
    rows: tuple[str, ...],
    queries: tuple[Path, ...],
    copies: Path,
    out: Path,
    summary: Path,
    knobs: Knobs[Retrieve],
    embeddings: tuple[Path, ...] = (),
    index: tuple[Path, ...] = (),
    index_shards: tuple[int, ...] = (),
    centroids: Path | None = None,
    clusters: tuple[Path, ...] = (),
) -> None:
    """Run the recipe's retrieving rows of one dataset.

    Args:
        dataset: Name of the curated dataset.
        rows: Its rows of the recipe, `dataset:sample:N` or `dataset:cluster`.
        queries: EMBEDDINGS of the dataset's shards.
        copies: COPIES of the pool: only kept images are retrieved.
        out: Table to write (NEIGHBOURS).
        summary: Table to write (SUMMARY): nominal counts, collisions, what the cap took.
        embeddings: EMBEDDINGS of every shard of the pool, for mode sample.
        index: Indexes of all blocks of the pool, by index.py, for mode sample.
        index_shards: How many of the embeddings each of them holds, in their order.
        centroids: Centroids, by cluster.py, for mode cluster.
        clusters: CLUSTERS of every shard of the pool, by assign.py, for mode cluster.
    """
    wanted = recipe.parse_all(rows, datasets=[dataset])
    pool = retrieval.Pool(
        embeddings=embeddings,
        index=index,
        shards=index_shards,
        centroids=centroids,
        clusters=clusters,
        copies=copies,
    )
    results = [retrieval.run(row, queries, pool, knobs) for row in wanted]
    made_by = io.stamp("retrieve", knobs=knobs, inputs=[*queries, *pool.files()])
    found = pl.concat([result.neighbours for result in results])
    counts = pl.concat([result.summary for result in results])
    schema.write(found, out, schema.NEIGHBOURS, made_by={**made_by, "rows_of": " ".join(rows)})
    schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
