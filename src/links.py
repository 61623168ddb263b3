"""Extract image links from web archives or URL lists and judge them by policy.

    python src/links.py --source crawl.paths --kind warc --part 0 --num-parts 8 \
        --out results/links/crawl-0.parquet
"""

from pathlib import Path
from typing import Literal

import polars as pl

from sauropod import cli, io, schema
from sauropod.config import Links
from sauropod.ingest import links, sources


def main(
    source: Path,
    out: Path,
    knobs: cli.Knobs[Links],
    kind: Literal["warc", "wat", "urls"] = "warc",
    part: int = 0,
    num_parts: int = 1,
) -> None:
    """Write one part of a source's links (schema LINKS) and its summary.

    Args:
        source: Archive or URL table, a .paths list of them, or a folder of them.
        out: Parquet to write; the summary goes beside it as .summary.parquet.
        kind: What the files are.
        part: Which part: files part, part + num_parts, ...
        num_parts: Parts the source is divided into.
    """
    files = sources.files(source, kind=kind)
    mine = sources.part_of(files, part=part, num_parts=num_parts)
    frame, left_out, records = links.extract(mine, kind=kind, knobs=knobs)
    made_by = io.stamp("links", knobs=knobs, inputs=mine)
    refused = {str(s): n for s, n in frame["status"].value_counts().iter_rows() if s != "ok"}
    kept = frame.height - sum(refused.values())
    summary = [schema.summary("links", out.stem, kept=kept, dropped={**refused, **left_out})]
    if kind != "urls":
        num_pages = records.pop("page", 0)
        summary.append(schema.summary("records", out.stem, kept=num_pages, dropped=records))
    summary_path = out.with_suffix(".summary.parquet")
    schema.write(pl.concat(summary), summary_path, schema.SUMMARY, made_by=made_by)
    schema.write(frame, out, schema.LINKS, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
