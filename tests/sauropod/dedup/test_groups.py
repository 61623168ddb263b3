"""dedup.groups: equality groups, the image kept, and the Hamming radius."""

import numpy as np
import polars as pl

from sauropod.dedup.groups import duplicates
from sauropod.schema import PCA_HASHES


def _find(hashes: list[int], *, radius: int = 0) -> list[tuple[int, int]]:
    """Image i is i bytes heavy, so that the last of a group is kept."""
    ids = np.arange(len(hashes), dtype=np.uint64)
    asked = []

    def images(wanted: np.ndarray) -> pl.DataFrame:
        asked.append(wanted.tolist())
        return pl.DataFrame(
            {
                "image_id": wanted,
                "width": [8] * len(wanted),
                "height": [8] * len(wanted),
                "num_bytes": wanted,
                "sha256": ["a"] * len(wanted),
                "url": ["u"] * len(wanted),
            }
        )

    columns = dict(PCA_HASHES.columns)
    frame = pl.DataFrame({"image_id": ids, "pca_hash": hashes}, schema=columns)
    found = duplicates(frame, radius=radius, images=images)
    return list(found.iter_rows())


def test_equal_hashes() -> None:
    assert _find([7, 2**63, 7, 2**63 + 1, 7]) == [(0, 4), (2, 4)]


def test_all_different_and_empty() -> None:
    assert _find([1, 2, 3]) == []
    assert _find([]) == []


def test_radius_links_in_chains() -> None:
    hashes = [0, 0b1, 0b11, 2**64 - 1]
    assert _find(hashes) == []
    assert _find(hashes, radius=1) == [(0, 2), (1, 2)]
