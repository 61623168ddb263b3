"""Extract image links from web archives or URL lists and judge them by policy.

    python src/links.py --source crawl.paths --kind warc --part 0 --num-parts 8 \
        --shard crawl-00000 --out results/links/crawl-00000.parquet \
        --summary results/links/crawl-00000.summary.parquet
"""

from pathlib import Path
from typing import Literal

from sauropod import cli, io, schema
from sauropod.config import Links
from sauropod.ingest import links, sources


def main(
    source: Path,
    shard: str,
    out: Path,
    summary: Path,
    knobs: cli.Knobs[Links],
    kind: Literal["warc", "wat", "urls"] = "warc",
    part: int = 0,
    num_parts: int = 1,
) -> None:
    """Extract and judge one part of a source's links.

    Args:
        source: Archive or URL table, a .paths list of them, or a folder of them.
        shard: Name of the part, for the summary.
        out: Table to write (LINKS), sorted by url_key.
        summary: Table to write (SUMMARY): links by status, and records of the archives by kind.
        kind: What the files are.
        part: Which part: the files number part, part + num_parts, ...
        num_parts: Parts the source is divided into.
    """
    files = sources.files(source, kind=kind)
    mine = sources.part_of(files, part=part, num_parts=num_parts)
    found = links.extract(mine, kind=kind, knobs=knobs)
    made_by = io.stamp("links", knobs=knobs, inputs=mine)
    schema.write(found.summary(shard), summary, schema.SUMMARY, made_by=made_by)
    schema.write(found.links, out, schema.LINKS, made_by=made_by)


if __name__ == "__main__":
    cli.run(main)
