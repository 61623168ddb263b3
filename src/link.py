"""Find the near copies of a shard's images in the pool.

    python src/link.py --queries results/describe/crawl-00000.parquet \\
        --descriptors results/describe/crawl-?????.parquet \\
        --duplicates results/hash/duplicates.parquet --index results/link/index.faiss \\
        --shard crawl-00000 --out results/link/crawl-00000.parquet \\
        --summary results/link/crawl-00000.summary.parquet
"""

from pathlib import Path

import polars as pl

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Link
from sauropod.dedup import copies
from sauropod.retrieve import index as nearest
from sauropod.retrieve.vectors import StoredVectors


def main(
    queries: Path,
    descriptors: tuple[Path, ...],
    duplicates: Path,
    index: Path,
    shard: str,
    out: Path,
    summary: Path,
    knobs: Knobs[Link],
) -> None:
    """Search one shard, of the pool or of a reference set, in the pool.

    Args:
        queries: The shard's DESCRIPTORS. When it is not one of `descriptors` it is a reference:
            all its edges are found, not only the nearest `neighbours`.
        descriptors: DESCRIPTORS of every shard of the pool.
        duplicates: DUPLICATES of the pool.
        index: Index of the pool, by link_index.py.
        shard: Name of the shard, for the summary.
        out: Table to write (EDGES): image_id is the query, neighbour_id an image of the pool.
        summary: Table to write (SUMMARY), with the audit against exact search (`link_audit`).
    """
    for path in (queries, *descriptors):
        schema.check(path, schema.DESCRIPTORS)
    without = schema.read(duplicates, schema.DUPLICATES)["image_id"].to_numpy()
    stored = StoredVectors(descriptors, schema.DESCRIPTORS, without)
    collection = copies.Collection(
        index=nearest.load(index, num_probes=knobs.num_probes), origin=index, stored=stored
    )
    search = copies.Search(
        neighbours=knobs.neighbours, over_fetch=knobs.over_fetch, threshold=knobs.threshold
    )
    asked = stored.shard(queries)
    reference = queries.resolve() not in [path.resolve() for path in descriptors]
    edges = copies.edges(asked, collection, search, complete=reference)
    hits, truth = copies.audit(asked, collection, search, size=knobs.audit, seed=knobs.seed)
    made_by = io.stamp("link", knobs=knobs, inputs=[queries, *descriptors, duplicates, index])
    counts = [
        schema.summary("link", shard, kept=len(asked[0]), dropped={}),
        schema.summary("link_audit", shard, kept=hits, dropped={"missed": truth - hits}),
    ]
    schema.write(edges, out, schema.EDGES, made_by=made_by)
    schema.write(pl.concat(counts), summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
