"""Blocks of shards: what is indexed and searched together, named `<source>-block-<5 digits>`.

A block of the pool is some consecutive shards of one source, so that a source that is appended
makes new blocks and leaves the others as they are. References share blocks.
"""

from collections.abc import Mapping, Sequence

REFERENCES = "all-references"
"""What their blocks are named after; a source's name has no hyphen."""


def pool_blocks(shards: Sequence[str], *, size: int) -> dict[str, list[str]]:
    """Cut the shards of every source of the pool: block name -> shard names, in order."""
    sources: dict[str, list[str]] = {}
    for shard in shards:
        sources.setdefault(shard.rpartition("-")[0], []).append(shard)
    return {
        name: part
        for source, mine in sources.items()
        for name, part in _cut(mine, f"{source}-block", size).items()
    }


def reference_blocks(shards: Sequence[str], *, size: int) -> Mapping[str, list[str]]:
    """Cut the shards of all references: block name -> shard names, in order."""
    return _cut(shards, REFERENCES, size)


def _cut(shards: Sequence[str], name: str, size: int) -> dict[str, list[str]]:
    starts = range(0, len(shards), size)
    return {f"{name}-{i:05d}": list(shards[at : at + size]) for i, at in enumerate(starts)}
