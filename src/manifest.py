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

from sauropod import cli, io, schema
from sauropod.cli import Knobs
from sauropod.config import Manifest
from sauropod.retrieve import manifest
from sauropod.retrieve.places import usable


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
    sets = usable(schema.scan(curated, schema.IMAGES))
    pool = usable(schema.scan(images, schema.IMAGES))
    verdicts = schema.read((copies,) if copies else (), schema.COPIES)
    found = schema.read(neighbours, schema.NEIGHBOURS)
    recipe = manifest.every_curated(sets) if curated_only else knobs.recipe
    rows, counts = manifest.assemble(recipe, sets, pool, found, multiplicity=knobs.multiplicity)
    tables = {out: rows}
    if uncurated is not None:
        kept = manifest.kept_pool(pool, verdicts)
        tables[uncurated] = manifest.uncurated(
            kept, size=rows["image_id"].n_unique(), seed=knobs.seed
        )
    inputs = [*curated, *images, *neighbours, *([copies] if copies else [])]
    made_by = io.stamp("manifest", knobs=knobs, inputs=inputs)
    for path, table in tables.items():
        manifest.check(table, path)
    for path, table in tables.items():
        schema.write(table, path, schema.MANIFEST, made_by=made_by)
    if summary is not None:
        schema.write(counts, summary, schema.SUMMARY, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
