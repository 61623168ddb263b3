"""Assemble the training set: curated images as they are, and retrieved ones.

    python src/manifest.py --curated results/ingest/imagenet22k-?????.parquet \\
        --images results/screen/crawl-?????.parquet \\
        --neighbours results/retrieve/imagenet22k.parquet --copies results/dedup/copies.parquet \\
        --out results/manifest/lvd.parquet --uncurated results/manifest/uncurated.parquet \\
        --summary results/manifest/summary.parquet \\
        --recipe imagenet22k:as_is imagenet22k:sample:4
    python src/manifest.py --curated results/ingest/imagenet22k-?????.parquet \\
        --curated-only True --out curated.parquet
"""

from pathlib import Path

from sauropod import cli, io, schema, streaming
from sauropod.cli import Knobs
from sauropod.config import Manifest
from sauropod.retrieve import manifest
from sauropod.schema import MANIFEST


def main(
    curated: tuple[Path, ...],
    out: Path,
    knobs: Knobs[Manifest],
    images: tuple[Path, ...] = (),
    neighbours: tuple[Path, ...] = (),
    copies: Path | None = None,
    uncurated: Path | None = None,
    summary: Path | None = None,
    curated_only: bool = False,
) -> None:
    """Write the manifest of the recipe, and one of as many distinct uncurated images.

    Args:
        curated: IMAGES of every curated shard.
        out: Table to write (MANIFEST).
        images: IMAGES of every shard of the pool.
        neighbours: NEIGHBOURS of every dataset that retrieves.
        copies: COPIES of the pool; needed for `uncurated`.
        uncurated: Table to write (MANIFEST): a seeded sample of the pool's kept images.
        summary: Table to write (SUMMARY).
        curated_only: Ignore the recipe and take every curated image as it is.
    """
    made_by = io.stamp(
        "manifest", knobs=knobs, inputs=[*curated, *images, *neighbours, *filter(None, [copies])]
    )
    with io.scratch(out) as scratch:
        rows = manifest.assemble(
            None if curated_only else knobs.recipe,
            curated,
            images,
            neighbours,
            multiplicity=knobs.multiplicity,
            scratch=scratch / "lvd",
        )
        manifest.check(rows.added, out)
        kept = manifest.Uncurated(images, copies, seed=knobs.seed) if copies else None
        if uncurated is not None:
            manifest.check(kept.images if kept else 0, uncurated)
        streaming.write(rows.frames(), out, MANIFEST, made_by=made_by)
        if uncurated is not None and kept is not None:
            drawn = kept.draw(rows.distinct, scratch=scratch / "uncurated")
            streaming.write(drawn.frames(), uncurated, MANIFEST, made_by=made_by)
    if summary is not None:
        schema.write(rows.summary("lvd"), summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
