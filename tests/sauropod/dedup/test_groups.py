"""dedup.groups: equality groups, the image kept, and the Hamming radius."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sauropod.dedup.groups import duplicates
from sauropod.errors import InputError
from sauropod.schema import PCA_HASHES


def _images(ids: list[int]) -> pl.DataFrame:
    """Image i is i bytes heavy, so that the last of a group is kept."""
    same = {"width": 8, "height": 8, "sha256": "a", "url": "u"}
    columns = {name: [value] * len(ids) for name, value in same.items()}
    wanted = pl.Series(ids, dtype=pl.UInt64)
    return pl.DataFrame({"image_id": wanted, "num_bytes": wanted, **columns})


def _find(
    hashes: list[int], folder: Path, *, radius: int = 0, num_parts: int = 1, chunk: int = 3
) -> list[tuple[int, int]]:
    rows = {"image_id": range(len(hashes)), "pca_hash": hashes}
    frame = pl.DataFrame(rows, schema=dict(PCA_HASHES.columns))
    found = duplicates(
        frame.iter_slices(chunk),
        num_parts=num_parts,
        radius=radius,
        images=_images(list(range(len(hashes)))).iter_slices(chunk),
        scratch=folder,
    )
    assert list(folder.iterdir()) == []
    return list(found.iter_rows())


def test_equal_hashes(tmp_path: Path) -> None:
    assert _find([7, 2**63, 7, 2**63 + 1, 7], tmp_path) == [(0, 4), (2, 4)]


def test_an_earlier_source_is_kept(tmp_path: Path) -> None:
    """Whatever its size: what is appended takes nobody's place."""
    ids = [5, 1 << 48, 2 << 48 | 1 << 32, 9, 1 << 48 | 7]
    rows = {"image_id": ids, "pca_hash": [1, 1, 1, 2, 2]}
    frame = pl.DataFrame(rows, schema=dict(PCA_HASHES.columns))
    images = [_images(ids)]
    found = duplicates([frame], num_parts=1, radius=0, images=images, scratch=tmp_path)
    assert dict(found.iter_rows()) == {ids[1]: 5, ids[2]: 5, ids[4]: 9}


def test_all_different_and_empty(tmp_path: Path) -> None:
    assert _find([1, 2, 3], tmp_path) == []
    assert _find([], tmp_path, num_parts=4) == []


def test_parts_change_nothing(tmp_path: Path) -> None:
    hashes = np.random.default_rng(0).integers(0, 50, 200).tolist()
    expected = _find(hashes, tmp_path)
    assert len(expected) == 200 - len(set(hashes))
    for num_parts in (2, 7):
        assert _find(hashes, tmp_path, num_parts=num_parts, chunk=64) == expected


def test_radius_links_in_chains(tmp_path: Path) -> None:
    hashes = [0, 0b1, 0b11, 2**64 - 1]
    assert _find(hashes, tmp_path) == []
    assert _find(hashes, tmp_path, radius=1) == [(0, 2), (1, 2)]


def test_an_image_with_two_rows_is_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"image_id": [4, 4], "pca_hash": [1, 1]}, schema=dict(PCA_HASHES.columns))
    with pytest.raises(InputError, match="every image once"):
        duplicates([frame], num_parts=1, radius=0, images=[_images([4])], scratch=tmp_path)


@pytest.mark.parametrize("known", [[4], [4, 5, 5]])
def test_images_of_another_pool_are_refused(tmp_path: Path, known: list[int]) -> None:
    frame = pl.DataFrame({"image_id": [4, 5], "pca_hash": [1, 1]}, schema=dict(PCA_HASHES.columns))
    with pytest.raises(InputError, match=f"{len(known)} of 2"):
        duplicates([frame], num_parts=1, radius=0, images=[_images(known)], scratch=tmp_path)
