"""Shard names and numbers come from the configuration alone and never move."""

from typing import Any

from sauropod.load_config import Config, load
from sauropod.shards import ingest_flags, shards


def config(**blocks: Any) -> Config:  # noqa: ANN401
    """Load a small configuration."""
    raw = {
        "pool": [{"name": "crawl", "kind": "warc", "path": "w", "shards": 2, "link_parts": 3}],
        "curated": [{"name": "good", "path": "g"}],
        "benchmarks": [{"name": "bench", "path": "b", "shards": 2}],
    }
    return load({**raw, **blocks}, "x")


def test_names_numbers_and_collections() -> None:
    listed = {name: (s.number, s.collection) for name, s in shards(config()).items()}
    assert listed == {
        "crawl-00000": (0, "pool"),
        "crawl-00001": (1, "pool"),
        "good-00000": (1 << 28, "curated"),
        "bench_test-00000": (2 << 28, "benchmark_test"),
        "bench_train-00000": (3 << 28, "benchmark_train"),
        "bench_train-00001": ((3 << 28) + 1, "benchmark_train"),
    }


def test_appending_a_source_renumbers_nothing() -> None:
    before = shards(config())
    more = [
        {"name": "crawl", "kind": "warc", "path": "w", "shards": 5, "link_parts": 3},
        {"name": "second", "path": "p"},
    ]
    after = shards(config(pool=more))
    assert all(after[name].number == shard.number for name, shard in before.items())


def test_references_choose_which_benchmark_splits_are_read() -> None:
    chosen = shards(config(dedup={"references": ["benchmark_test"]}))
    assert [n for n in chosen if n.startswith("bench")] == ["bench_test-00000"]


def test_flags_say_where_the_images_are() -> None:
    listed = shards(config())
    assert ingest_flags(listed["bench_test-00000"])[-2:] == ["--folder", "b/val"]
    assert "--folder" not in ingest_flags(listed["crawl-00001"])


def test_layouts_without_files_or_splits_of_their_own_are_references_once_or_never() -> None:
    names = {"ade": ("segmentation", "ade20k"), "small": ("classification", "cifar10")}
    benchmarks = [
        {"name": name, "path": name, "kind": kind, "layout": layout}
        for name, (kind, layout) in names.items()
    ]
    listed = shards(config(benchmarks=benchmarks))
    found = [name for name, shard in listed.items() if shard.collection.startswith("benchmark")]
    assert found == ["ade_test-00000"]
    assert ingest_flags(listed["ade_test-00000"])[-2:] == ["--folder", "ade"]
