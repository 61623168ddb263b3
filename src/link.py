"""Find the near copies of a block of images in a block of the pool.

    python src/link.py --queries results/describe/crawl-{00064..00127}.parquet \\
        --pool results/describe/crawl-{00000..00063}.parquet \\
        --duplicates results/hash/duplicates.parquet \\
        --index results/link/index/crawl-block-00000.faiss \\
        --out results/link/parts/crawl-block-00001/crawl-block-00000.parquet
"""

from pathlib import Path

from sauropod import cli, io, schema, streaming
from sauropod.cli import Knobs
from sauropod.config import Link
from sauropod.dedup import copies, parts
from sauropod.retrieve.search import open_block
from sauropod.retrieve.vectors import StoredVectors


def main(
    queries: tuple[Path, ...],
    pool: tuple[Path, ...],
    duplicates: Path,
    index: Path,
    out: Path,
    knobs: Knobs[Link],
    reference: bool = False,
) -> None:
    """Search one block, of the pool or of references, in one block of the pool.

    Memory: both blocks' descriptors, 2 bytes a number.

    Args:
        queries: DESCRIPTORS of the shards to search for.
        pool: DESCRIPTORS of the shards to search in.
        duplicates: DUPLICATES of the pool.
        index: Index of the pool's block, by link_index.py.
        out: Table to write (PAIRS): image_id is the query, neighbour_id an image of the pool.
        reference: The queries are references: all their pairs are found, not only the nearest
            `neighbours`.
    """
    for path in (*queries, *pool):
        schema.check(path, schema.DESCRIPTORS)
    without = schema.read(duplicates, schema.DUPLICATES)["image_id"].sort().to_numpy()
    asked = StoredVectors(queries, schema.DESCRIPTORS, without, unit=True)
    stored = StoredVectors(pool, schema.DESCRIPTORS, without, unit=True)
    search = copies.Search(
        neighbours=knobs.neighbours, over_fetch=knobs.over_fetch, threshold=knobs.threshold
    )
    effort = {"count": search.neighbours, "over_fetch": search.over_fetch}
    block = open_block(index, stored, num_probes=knobs.num_probes, **effort)
    vectors = asked.load()
    found = copies.blockwise(
        vectors,
        block,
        search,
        complete=reference,
        audited=copies.sample(vectors, size=knobs.audit, seed=knobs.seed),
    )
    made_by = io.stamp("link", knobs=knobs, inputs=[*queries, *pool, duplicates, index])
    made_of = parts.made_of(asked, stored, num_queries=len(vectors[0]))
    streaming.write(found, out, schema.PAIRS, made_by={**made_by, **made_of})


if __name__ == "__main__":
    cli.run(main)
