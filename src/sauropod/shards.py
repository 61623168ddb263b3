"""The static list of shards of a run, made from the configuration alone.

A shard's name is `<source>-<5 digits>`; its number, the upper half of every image_id in it, is
collection (4 bits) | position of the source in its list (12 bits) | part (16 bits). Appending
sources or parts therefore never renumbers what exists.
"""

from dataclasses import dataclass
from typing import Literal

from sauropod.config import Source
from sauropod.evaluate.config import WITHOUT_FILES, Benchmark
from sauropod.load_config import Config

Collection = Literal["pool", "curated", "benchmark_test", "benchmark_train"]
COLLECTIONS: tuple[Collection, ...] = ("pool", "curated", "benchmark_test", "benchmark_train")

LINKED = ("warc", "wat", "urls")


@dataclass(frozen=True)
class Shard:
    """One unit of work and of resume: part `part` of `source`."""

    name: str
    number: int
    collection: Collection
    source: Source
    part: int


def folder_of(benchmark: Benchmark, split: Literal["test", "train"]) -> str | None:
    """Folder of a split's images below the benchmark's; None where nothing tells it apart."""
    if benchmark.layout == "image_folder":
        return getattr(benchmark, split) or {"test": "val", "train": "train"}[split]
    return getattr(benchmark, split) or ("." if split == "test" else None)


def _split(benchmark: Benchmark, split: Literal["test", "train"]) -> Source | None:
    folder = folder_of(benchmark, split)
    if folder is None or benchmark.layout in WITHOUT_FILES:
        return None
    kind = "tars" if benchmark.layout == "tars" else "folder"
    shards = benchmark.shards if split == "train" else 1
    path = benchmark.path if folder == "." else f"{benchmark.path}/{folder}"
    return Source(name=f"{benchmark.name}_{split}", kind=kind, path=path, shards=shards)


def sources(config: Config, collection: Collection) -> list[Source]:
    """List the image sources of a collection; a benchmark is one per split that lies apart."""
    if collection == "pool":
        return list(config.pool)
    if collection == "curated":
        return list(config.curated)
    split: Literal["test", "train"] = "test" if collection == "benchmark_test" else "train"
    found = (_split(benchmark, split) for benchmark in config.benchmarks)
    return [source for source in found if source]


def shards(config: Config) -> dict[str, Shard]:
    """List every shard a run reads: the pool, the curated sets and the references of dedup.

    Returns:
        Shard name -> shard, in the order of collections, sources and parts.
    """
    references = config.knobs["dedup"].references
    result = {}
    for collection_number, collection in enumerate(COLLECTIONS):
        if collection.startswith("benchmark") and collection not in references:
            continue
        for position, source in enumerate(sources(config, collection)):
            for part in range(source.shards):
                number = collection_number << 28 | position << 16 | part
                name = f"{source.name}-{part:05d}"
                result[name] = Shard(name, number, collection, source, part)
    return result


def ingest_flags(shard: Shard) -> list[str]:
    """Spell where a shard's images come from, as flags of `ingest.py`."""
    source = shard.source
    which = ["--part", str(shard.part), "--num-parts", str(source.shards)]
    flags = ["--source", source.name, "--shard", shard.name, "--shard-number", str(shard.number)]
    flags += which
    return flags if source.kind in LINKED else [*flags, f"--{source.kind}", source.path]
