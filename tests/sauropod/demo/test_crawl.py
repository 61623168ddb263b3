"""The world as the web: the real stages crawl it, and say of every link what the truth expects."""

from pathlib import Path

import polars as pl

import ingest
import links
from sauropod import schema
from sauropod.config import Ingest, Links
from sauropod.demo.server import serving


def test_ingest_says_of_every_link_what_the_truth_expects(
    world: Path, truth: pl.DataFrame, tmp_path: Path
) -> None:
    table, out, hosts = (tmp_path / name for name in ("links.parquet", "i.parquet", "hosts"))
    blocked = (str(world / "crawl/blocked_domains.txt"),)
    links.main(
        source=world / "crawl.paths",
        shard="crawl",
        out=table,
        summary=tmp_path / "links.summary.parquet",
        knobs=Links(blocked_domains=blocked),
    )
    with serving(world / "site", hosts):
        ingest.main(
            source="crawl",
            shard="crawl-00000",
            shard_number=0,
            out=out,
            out_tar=tmp_path / "i.tar",
            summary=tmp_path / "i.summary.parquet",
            knobs=Ingest(min_side=16, deadline_s=3.0, retries=0, user_agent="demo/1 (loopback)"),
            links=(table,),
            hosts=(hosts,),
        )
    found = schema.read(out, schema.IMAGES).select("url", "status", "sha256")
    pool = truth.filter(pl.col("role") == "pool").select("name", "status", "sha256")
    both = pool.join(found, left_on="name", right_on="url", how="full", suffix="_found")
    text = pl.col("status", "status_found").cast(pl.String)
    wrong = both.with_columns(text).filter(
        pl.col("status").ne_missing(pl.col("status_found"))
        | (pl.col("status").eq("ok") & pl.col("sha256").ne_missing(pl.col("sha256_found")))
    )
    assert wrong.rows() == []
