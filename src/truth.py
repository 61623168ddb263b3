"""Check a run of the demo world against its truth, and compare models -> METRICS.

    python src/truth.py --metrics results/evaluate/*.parquet --claims 'pretrain>random' \
        --truth world/truth.parquet --ingested results/ingest/crawl-*.parquet \
        --links results/links/*.parquet --images results/screen/crawl-00000.parquet \
        --screened results/screen/crawl-00000.screened.parquet \
        --duplicates results/hash/duplicates.parquet --copies results/dedup/copies.parquet \
        --manifest results/manifest/lvd.parquet --out results/truth/truth.parquet

Without --truth only the claims are checked, so that a run on real photos can compare models too.
"""

from pathlib import Path

import polars as pl

from sauropod import cli, io, schema
from sauropod.errors import InputError
from sauropod.evaluate import truth as checks
from sauropod.evaluate.claims import compare


def main(
    out: Path,
    metrics: tuple[Path, ...] = (),
    claims: tuple[str, ...] = (),
    truth: tuple[Path, ...] = (),
    ingested: tuple[Path, ...] = (),
    links: tuple[Path, ...] = (),
    images: tuple[Path, ...] = (),
    screened: tuple[Path, ...] = (),
    duplicates: Path | None = None,
    copies: Path | None = None,
    manifest: Path | None = None,
    blur_grow: float = 0.1,
) -> None:
    """Check the claims and, in the demo world, what was planted.

    Args:
        out: Parquet to write (METRICS).
        metrics: Tables that evaluate wrote (METRICS).
        claims: Comparisons `better>worse` or `better>worse@benchmark` of models of those tables.
        truth: Truth of the demo world (TRUTH); none checks the claims only.
        ingested: The pool's images as ingest wrote them (IMAGES).
        links: Links found (LINKS).
        images: The pool's images as screen wrote them (IMAGES).
        screened: The pool's detections (SCREENED).
        duplicates: Hash duplicates (DUPLICATES).
        copies: Verdicts on copies (COPIES).
        manifest: Training set (MANIFEST).
        blur_grow: The knob of screen, by which it grew the boxes it blurred.
    """
    inputs = [*metrics, *truth, *ingested, *links, *images, *screened]
    inputs += [path for path in (duplicates, copies, manifest) if path]
    made_by = io.stamp("truth", knobs={"claims": list(claims)}, inputs=inputs)
    commit = made_by["commit"]
    frames = [compare(schema.read(metrics, schema.METRICS), claims=claims, commit=commit)]
    if truth:
        if not (duplicates and copies and manifest):
            flag, fix = "--truth", "name all three files"
            expected = "--duplicates, --copies and --manifest too"
            raise InputError(flag, expected=expected, found="not all of them", fix=fix)
        world = schema.read(truth, schema.TRUTH)
        pool = checks.planted(world)
        after = schema.read(images, schema.IMAGES)
        boxes = schema.read(screened, schema.SCREENED)
        detections = checks.blurred_regions(boxes, grow=blur_grow)
        rows = schema.read(manifest, schema.MANIFEST)
        known = checks.recognise(after, pool)
        before, found = schema.read(ingested, schema.IMAGES), schema.read(links, schema.LINKS)
        same = schema.read(duplicates, schema.DUPLICATES)
        verdicts = schema.read(copies, schema.COPIES)
        facts = checks.ingest_checks(before, found, pool)
        facts += checks.screen_checks(known, detections, pool, after)
        facts += checks.duplicate_checks(known, same, verdicts)
        facts += checks.manifest_checks(known, detections, rows, world)
        facts += checks.class_checks(known, rows, world)
        frames.append(checks.metrics_frame(facts, commit=commit))
    schema.write(pl.concat(frames), out, schema.METRICS, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
