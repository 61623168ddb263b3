"""Duplicates by PCA hash: groups of equal (or nearly equal) hashes, one image kept of each.

Source: DINOv2 section 3; equality is what MetaCLIP describes, a Hamming radius is our extension.
Hashes are first parted by value into scratch files, so that memory is bounded by a part.
Shapes: m images of a part, g groups.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl

from sauropod.dedup.components import Components
from sauropod.dedup.hamming import pairs_within
from sauropod.errors import InputError
from sauropod.schema import DUPLICATES

Rows = Callable[[np.ndarray], pl.DataFrame]
"""Gives the IMAGES rows of some ids (uint64, distinct)."""

PART_ROWS = 1 << 25
"""Hashes grouped together; about 2 GiB with what sorting them takes."""
RANKED_ROWS = 10_000_000
"""Images ranked together; their urls and hashes are about 3 GiB."""
MIX = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that multiplying permutes the hashes; their leading bits alone need not be even."""

BETTER = ("source_number", "area", "num_bytes", "sha256", "url", "image_id")
"""The total order that chooses a representative: of the earliest source of the pool (what is
appended never takes the place of what is there), larger, heavier, the smallest of the rest."""
SOURCE_BITS = 48
"""An image id without so many bits is its collection and its source's position (shards.py)."""
FALLING = (False, True, True, False, False, False)


def ranked(images: pl.DataFrame) -> pl.DataFrame:
    """Sort IMAGES rows best first by the total order that chooses representatives."""
    area = pl.col("width").cast(pl.UInt64) * pl.col("height")
    source = pl.col("image_id") // 2**SOURCE_BITS
    ordered = images.with_columns(area=area, source_number=source)
    ordered = ordered.sort(BETTER, descending=FALLING, nulls_last=True)
    return ordered.drop("area", "source_number")


def first_of_each(
    ids: np.ndarray, group: np.ndarray, *, images: Rows, at_once: int = RANKED_ROWS
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the best image of each group by the total order of `ranked`.

    Args:
        ids: (m,) uint64, distinct.
        group: (m,) integers: which group each is of.
        images: Gives their IMAGES rows; asked for whole groups.
        at_once: Images asked for together, or one group where that is more.

    Returns:
        Groups (g,) ascending and the best id (g,) of each.
    """
    order = np.argsort(group, kind="stable")
    ids, group = ids[order], group[order]
    starts = (
        np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if len(group) else np.empty(0, int)
    )
    # A part ends with the group in which its quota of images ends.
    _, firsts = np.unique(starts // at_once, return_index=True)
    best = [np.empty(0, np.uint64)]
    for part in np.split(np.arange(len(ids)), starts[firsts[1:]]) if len(ids) else ():
        known = pl.DataFrame({"image_id": ids[part], "group": group[part]})
        rows = ranked(images(ids[part]).join(known, on="image_id"))
        chosen = rows.unique("group", keep="first", maintain_order=True).sort("group")
        best.append(chosen["image_id"].to_numpy())
    return group[starts], np.concatenate(best)


def duplicates(
    hashes: Iterable[pl.DataFrame], *, num_parts: int, radius: int, images: Rows, scratch: Path
) -> pl.DataFrame:
    """Find the images whose hash another, better image has too.

    Args:
        hashes: PCA_HASHES rows of the whole pool in chunks.
        num_parts: Parts to group one after the other; with a radius all must be one part.
        radius: Hashes this many bits apart are linked; 0 is equality.
        images: Gives the IMAGES rows of some ids; asked only for members of groups.
        scratch: Folder for 16 bytes an image.

    Returns:
        DUPLICATES by image id. The image kept of a group is the first by `ranked`.

    Raises:
        InputError: an image has two rows.
    """
    assert num_parts == 1 or not radius
    found = [pl.DataFrame(schema=dict(DUPLICATES.columns))]
    for values, ids in _parts(hashes, num_parts, scratch):
        members, group = _members(values, ids, radius)
        _, best = first_of_each(members, group, images=images)
        _, at = np.unique(group, return_inverse=True)
        owners = best[at]
        dropped = members != owners
        rows = {"image_id": members[dropped], "duplicate_of": owners[dropped]}
        found.append(pl.DataFrame(rows, schema=dict(DUPLICATES.columns)))
    return pl.concat(found).sort("image_id")


def _members(values: np.ndarray, ids: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the images that share a group with another one, and their groups."""
    distinct, group = np.unique(values, return_inverse=True)
    if radius:
        pairs = pairs_within(distinct, radius=radius)
        forest = Components(len(distinct))
        forest.add(pairs[:, 0], pairs[:, 1])
        group = forest.labels()[group]
    shared = np.bincount(group, minlength=len(distinct))[group] > 1
    members = ids[shared]
    if len(np.unique(members)) < len(members):
        where, expected = "--hashes", "every image once"
        fix = "name every shard once, all from the same run"
        raise InputError(where, expected=expected, found="an image with two rows", fix=fix)
    return members, group[shared].astype(np.int64)


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
