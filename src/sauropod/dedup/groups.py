"""Duplicates by PCA hash: groups of equal (or nearly equal) hashes, one image kept of each.

Source: DINOv2 section 3; equality is what MetaCLIP describes, a Hamming radius is our extension.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from sauropod.dedup.components import Components
from sauropod.dedup.hamming import pairs_within
from sauropod.dedup.relative import ranked
from sauropod.schema import DUPLICATES


def duplicates(
    hashes: pl.DataFrame, *, radius: int, images: Callable[[np.ndarray], pl.DataFrame]
) -> pl.DataFrame:
    """Find the images whose hash another, better image has too.

    Args:
        hashes: PCA_HASHES rows of the whole pool.
        radius: Hashes this many bits apart are linked; 0 is equality.
        images: Gives the IMAGES rows of some ids; asked only for members of groups.

    Returns:
        DUPLICATES by image id. The image kept of a group is the first by `relative.ranked`.
    """
    values, group = np.unique(hashes["pca_hash"].to_numpy(), return_inverse=True)
    if radius:
        pairs = pairs_within(values, radius=radius)
        forest = Components(len(values))
        forest.add(pairs[:, 0], pairs[:, 1])
        group = forest.labels()[group]
    shared = np.bincount(group, minlength=len(values))[group] > 1
    ids = hashes["image_id"].to_numpy()[shared]
    groups = pl.DataFrame(
        {"image_id": ids, "group": group[shared].astype(np.int64)},
        schema={"image_id": pl.UInt64, "group": pl.Int64},
    )
    best = ranked(images(ids).join(groups, on="image_id"))
    keepers = best.unique("group", keep="first", maintain_order=True)
    owners = keepers.select("group", duplicate_of="image_id")
    rows = groups.join(owners, on="group").filter(pl.col("image_id") != pl.col("duplicate_of"))
    return rows.select(list(DUPLICATES.columns)).sort("image_id")
