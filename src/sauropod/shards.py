"""The static list of shards of a run, made from the configuration alone.

A shard's name is `<source>-<5 digits>`; its number, the upper half of every image_id in it, is
collection (4 bits) | position of the source in its list (12 bits) | part (16 bits). Appending
sources or parts therefore never renumbers what exists.
"""

from dataclasses import dataclass, replace
from typing import Literal

from sauropod.config import Source
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


def _split(source: Source, split: Literal["test", "train"]) -> Source:
    folder = getattr(source, split)
    shards = source.shards if split == "train" else 1
    path = f"{source.path}/{folder}"
    return replace(source, name=f"{source.name}_{split}", path=path, shards=shards)


def sources(config: Config, collection: Collection) -> list[Source]:
    """List the image sources of a collection; a benchmark is one per split."""
    if collection == "pool":
        return list(config.pool)
    if collection == "curated":
        return list(config.curated)
    split: Literal["test", "train"] = "test" if collection == "benchmark_test" else "train"
    return [_split(source, split) for source in config.benchmarks]


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
