"""Tell the whole run in one self-contained HTML file.

    python src/report.py --out results/report/report.html --summaries results/*/*.summary.parquet \
        --images results/screen/crawl-00000.parquet results/ingest/objects-00000.parquet \
        --metrics results/evaluate/*.parquet --logs results/pretrain/main/log.parquet

Every input is optional: a section appears when its data is given.
"""

from pathlib import Path

import polars as pl

from sauropod import cli, io, schema
from sauropod.report import dag as rule_graph
from sauropod.report import sheet
from sauropod.report.curves import read_run
from sauropod.report.page import Tables, render
from sauropod.report.plates import read_plates
from sauropod.report.provenance import made_by, timings
from sauropod.schema import Table


def _read(paths: tuple[Path, ...], table: Table) -> pl.DataFrame | None:
    return schema.read(paths, table) if paths else None


def main(
    out: Path,
    title: str = "sauropod run",
    pool: tuple[str, ...] = (),
    summaries: tuple[Path, ...] = (),
    images: tuple[Path, ...] = (),
    ingested: tuple[Path, ...] = (),
    screened: tuple[Path, ...] = (),
    duplicates: tuple[Path, ...] = (),
    copies: tuple[Path, ...] = (),
    neighbours: tuple[Path, ...] = (),
    manifest: tuple[Path, ...] = (),
    metrics: tuple[Path, ...] = (),
    logs: tuple[Path, ...] = (),
    plates: tuple[Path, ...] = (),
    curves: Path | None = None,
    benchmarks_tsv: tuple[Path, ...] = (),
    weights: tuple[Path, ...] = (),
    dag: Path | None = None,
) -> None:
    """Write the report.

    Args:
        out: HTML file to write.
        title: Headline.
        pool: Names of the pool's sources; the funnel shows other sources apart.
        summaries: What stages kept and dropped (SUMMARY).
        images: Screened images of the pool, images of curated sets and benchmarks (IMAGES).
        ingested: The pool's images before screening, for pictures of dropped ones (IMAGES).
        screened: Detections (SCREENED).
        duplicates: Hash duplicates (DUPLICATES).
        copies: Verdicts on copies (COPIES).
        neighbours: Retrieved images (NEIGHBOURS).
        manifest: Training set (MANIFEST).
        metrics: Measured numbers, floors, claims and truth checks (METRICS), in the order shown.
        logs: Training logs (log.parquet).
        plates: What visualise painted: <model>.<plate>.png.
        curves: Folder for the curves of every training run as PNG.
        benchmarks_tsv: Benchmark files of Snakemake.
        weights: Weights whose provenance is listed.
        dag: What `snakemake --rulegraph` prints (dot or mermaid), or an SVG of it.
    """
    files = [*summaries, *images, *ingested, *screened, *duplicates, *copies, *neighbours]
    files += [*manifest, *metrics, *weights]
    tables = Tables(
        title=title,
        commit=io.commit(),
        pool_sources=pool,
        summary=_read(summaries, schema.SUMMARY),
        images=_read(images, schema.IMAGES),
        ingested=_read(ingested, schema.IMAGES),
        screened=_read(screened, schema.SCREENED),
        duplicates=_read(duplicates, schema.DUPLICATES),
        copies=_read(copies, schema.COPIES),
        neighbours=_read(neighbours, schema.NEIGHBOURS),
        manifest=_read(manifest, schema.MANIFEST),
        metrics=_read(metrics, schema.METRICS),
        plates=read_plates(plates),
        runs=tuple(map(read_run, logs)),
        provenance=tuple(map(made_by, files)),
        timings=tuple(timings(benchmarks_tsv)),
        dag=rule_graph.picture(dag) if dag else None,
    )
    page = render(tables)
    if curves:
        sheet.save_all(tables.runs, curves)
    with io.replacing(out) as temporary:
        temporary.write_text(page)


if __name__ == "__main__":
    cli.run(main)
