"""Duplicates by PCA hash: groups of equal (or nearly equal) hashes, one image kept of each.

Source: DINOv2 section 3; equality is what MetaCLIP describes, a Hamming radius is our extension.
Hashes are first parted by value into scratch files. Memory is bounded by a part, and about 50 bytes
for every image that shares its hash. Shapes: n images of a part, m members of groups.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl

from sauropod.dedup.components import Components
from sauropod.dedup.hamming import pairs_within
from sauropod.dedup.representatives import Representatives
from sauropod.errors import InputError
from sauropod.schema import DUPLICATES

PART_ROWS = 1 << 22
"""Hashes grouped together: a billion are some 250 files, and sorting a part takes 160 MiB."""
MIX = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that multiplying permutes the hashes; their leading bits alone need not be even."""


def duplicates(
    hashes: Iterable[pl.DataFrame],
    *,
    num_parts: int,
    radius: int,
    images: Iterable[pl.DataFrame],
    scratch: Path,
) -> pl.DataFrame:
    """Find the images whose hash another, better image has too.

    Args:
        hashes: PCA_HASHES rows of the whole pool in chunks.
        num_parts: Parts to group one after the other; with a radius all must be one part.
        radius: Hashes this many bits apart are linked; 0 is equality.
        images: Usable IMAGES rows of the whole pool in chunks; read once.
        scratch: Folder for 16 bytes an image, and the rows of those that share their hash.

    Returns:
        DUPLICATES by image id. The image kept of a group is the first by `representatives.BETTER`.

    Raises:
        InputError: an image has two rows, or one of a group has none in `images`.
    """
    assert num_parts == 1 or not radius
    found = [_members(values, ids, radius) for values, ids in _parts(hashes, num_parts, scratch)]
    members, group = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    order = np.argsort(members)
    members, group = members[order], group[order]
    if (members[1:] == members[:-1]).any():
        where, expected = "--hashes", "every image once"
        fix = "name every shard once, all from the same run"
        raise InputError(where, expected=expected, found="an image with two rows", fix=fix)

    def group_of(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = np.minimum(np.searchsorted(members, ids), max(len(members) - 1, 0))
        inside = members[at] == ids if len(members) else np.zeros(len(ids), bool)
        return inside, group[at[inside]]

    chosen = Representatives(images=images, scratch=scratch / "members")
    copies = [pl.DataFrame(schema=dict(DUPLICATES.columns))]
    for rows in chosen.choose(group_of, num_members=len(members)):
        dropped = rows.filter(pl.col("image_id") != pl.col("representative"))
        copies.append(dropped.rename({"representative": "duplicate_of"}))
    return pl.concat(copies).sort("image_id")


def _members(values: np.ndarray, ids: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids (m,) of the images that share a group with another one, and their groups (m,) uint64."""
    if radius:
        distinct, at = np.unique(values, return_inverse=True)
        pairs = pairs_within(distinct, radius=radius)
        forest = Components(len(distinct))
        forest.add(pairs[:, 0], pairs[:, 1])
        values = forest.labels()[at].astype(np.uint64)
    order = np.argsort(values)
    ordered = values[order]
    same = ordered[1:] == ordered[:-1]
    shared = np.append(same, False) | np.append(False, same) if len(ordered) else same
    return ids[order[shared]], ordered[shared]


def _parts(
    hashes: Iterable[pl.DataFrame], num_parts: int, scratch: Path
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Hashes and ids of each part; equal hashes are in one part."""
    paths = [scratch / str(part) for part in range(num_parts)]
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for chunk in hashes:
            rows = chunk.select("pca_hash", "image_id").to_numpy()
            part = ((rows[:, 0] * MIX) >> np.uint64(32)) * np.uint64(num_parts) >> np.uint64(32)
            order = np.argsort(part, kind="stable")
            ends = np.searchsorted(part[order], np.arange(1, num_parts))
            for file, some in zip(files, np.split(rows[order], ends), strict=True):
                file.write(np.ascontiguousarray(some).tobytes())
    for path in paths:
        rows = np.fromfile(path, np.uint64).reshape(-1, 2)
        path.unlink()
        yield rows[:, 0], rows[:, 1]
