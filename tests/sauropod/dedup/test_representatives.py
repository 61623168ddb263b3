"""dedup.representatives: the best of each group, whatever the parts and chunks."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.dedup import representatives
from sauropod.dedup.representatives import Representatives
from sauropod.errors import InputError


def _images(num_bytes: list[int], **columns: list) -> pl.DataFrame:
    count = len(num_bytes)
    rows = {"image_id": pl.Series(range(count), dtype=pl.UInt64), "num_bytes": num_bytes}
    same = {"width": 8, "height": 8, "sha256": "a", "url": "u"}
    return pl.DataFrame({**rows, **{k: [v] * count for k, v in same.items()}, **columns})


def _choose(
    images: pl.DataFrame, groups: list[int | None], scratch: Path, *, chunk: int = 2
) -> dict[int, int]:
    """Image -> representative; an image of group None is no member."""
    known = np.array([-1 if group is None else group for group in groups])

    def group_of(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mine = known[ids.astype(np.int64)]
        return mine >= 0, mine[mine >= 0]

    choice = Representatives(images=images.iter_slices(chunk), scratch=scratch / "members")
    found = list(choice.choose(group_of, num_members=int((known >= 0).sum())))
    assert list(scratch.iterdir()) == []
    return {image: best for rows in found for image, best in rows.iter_rows()}


def test_the_heaviest_of_each_group(tmp_path: Path) -> None:
    images = _images([1, 2, 3, 4, 5, 6])
    assert _choose(images, [5, 3, 5, None, 3, 9], tmp_path) == {0: 2, 2: 2, 1: 4, 4: 4, 5: 5}


def test_area_goes_before_weight_and_nothing_is_last(tmp_path: Path) -> None:
    images = _images([9, 1, 5, 5], width=[7, 9, None, 8], height=[9, 9, 900, 8])
    assert set(_choose(images, [0] * 4, tmp_path).values()) == {1}
    assert set(_choose(images, [0, None, 0, 0], tmp_path).values()) == {3}


def test_nobody_is_a_member(tmp_path: Path) -> None:
    assert _choose(_images([1, 2]), [None, None], tmp_path) == {}


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 6) | st.none(), st.integers(1, 3), st.sampled_from("abc")),
        min_size=1,
        max_size=40,
    ),
    chunk=st.integers(1, 50),
    part_rows=st.integers(1, 50),
)
def test_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple], chunk: int, part_rows: int
) -> None:
    """Heaviest, then smallest hash, then smallest id: found by looking at every member."""
    groups, weights, hashes = (list(column) for column in zip(*rows, strict=True))
    images = _images(weights, sha256=hashes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(representatives, "PART_ROWS", part_rows)
        found = _choose(images, groups, tmp_path_factory.mktemp("x"), chunk=chunk)
    for image, best in found.items():
        rivals = [i for i, group in enumerate(groups) if group == groups[image]]
        assert best == min(rivals, key=lambda i: (-weights[i], hashes[i], i))
    assert sorted(found) == [i for i, group in enumerate(groups) if group is not None]


def test_a_member_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    images = Representatives(images=[_images([1])], scratch=tmp_path / "x")
    everyone = lambda ids: (np.ones(len(ids), bool), np.zeros(len(ids), int))  # noqa: E731
    with pytest.raises(InputError, match="1 of 2"):
        list(images.choose(everyone, num_members=2))
