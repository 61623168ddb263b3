"""Gather METRICS tables into one and print it by benchmark, the paper's numbers beside.

python src/collect.py --metrics results/evaluate/*.parquet --out results/evaluate/metrics.parquet
python src/collect.py --metrics results/evaluate/metrics.parquet        # just look
"""

import sys
from pathlib import Path

import polars as pl

from sauropod import cli, io, schema
from sauropod.evaluate.published import published
from sauropod.evaluate.tables import render
from sauropod.evaluate.transfer import TRANSFER, averages


def main(metrics: tuple[Path, ...], out: Path | None = None, report: Path | None = None) -> None:
    """Gather and print.

    Args:
        metrics: Tables to gather (METRICS).
        out: Table to write (METRICS).
        report: Report to point the reader to.
    """
    measured = schema.read(metrics, schema.METRICS).filter(pl.col("benchmark") != TRANSFER)
    rows = pl.concat([measured, averages(measured)])
    if out:
        made_by = io.stamp("collect", knobs={}, inputs=metrics)
        schema.write(rows, out, schema.METRICS, made_by=made_by)
    beside = published(rows["benchmark"].unique())
    sys.stdout.write(render(pl.concat([rows, beside])))
    if report:
        sys.stdout.write(f"\nreport: {report.resolve()}\n")


if __name__ == "__main__":
    cli.run(main)
