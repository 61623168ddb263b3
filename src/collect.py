"""Gather METRICS tables into one and print it, models down and metrics across.

python src/collect.py --metrics results/evaluate/*.parquet --out results/evaluate/metrics.parquet
python src/collect.py --metrics results/evaluate/metrics.parquet        # just look
"""

import sys
from pathlib import Path

from sauropod import cli, io, schema
from sauropod.evaluate.tables import render


def main(metrics: tuple[Path, ...], out: Path | None = None, report: Path | None = None) -> None:
    """Gather and print.

    Args:
        metrics: Tables to gather (METRICS).
        out: Table to write (METRICS).
        report: Report to point the reader to.
    """
    rows = schema.read(metrics, schema.METRICS)
    if out:
        made_by = io.stamp("collect", knobs={}, inputs=metrics)
        schema.write(rows, out, schema.METRICS, made_by=made_by)
    sys.stdout.write(render(rows))
    if report:
        sys.stdout.write(f"\nreport: {report.resolve()}\n")


if __name__ == "__main__":
    cli.run(main)
