import polars as pl

from sauropod import schema
from sauropod.report.funnel import Step, by_group, source_of, steps


def _summary() -> pl.DataFrame:
    return pl.concat(
        [
            schema.summary("dedup", "pool", kept=5, dropped={"copy": 2}),
            schema.summary("ingest", "crawl-00000", kept=4, dropped={"timeout": 1, "robots": 3}),
            schema.summary("ingest", "crawl-00001", kept=3, dropped={"timeout": 1}),
            schema.summary("ingest", "objects-00000", kept=9, dropped={}),
            schema.summary("zebra", "crawl-00000", kept=1, dropped={}),
        ]
    )


def test_shards_add_up_in_the_pipelines_order() -> None:
    found = steps(_summary())
    assert [step.stage for step in found] == ["ingest", "dedup", "zebra"]
    assert found[0] == Step("ingest", 16, (("robots", 3), ("timeout", 2)))
    assert found[0].rows_in == 21


def test_sources_are_told_apart() -> None:
    groups = by_group(_summary(), pool=("crawl",))
    assert list(groups) == ["pool", "objects"]
    assert groups["pool"][0] == Step("ingest", 7, (("robots", 3), ("timeout", 2)))
    assert groups["objects"] == [Step("ingest", 9, ())]
    assert list(by_group(_summary(), pool=())) == ["pool"]
    assert by_group(_summary().head(0), pool=()) == {}


def test_source_of_a_shard() -> None:
    assert source_of("my-crawl-00012") == "my-crawl"
    assert source_of("pool") == "pool"
    assert source_of("objects:sample:4") == "objects:sample:4"
