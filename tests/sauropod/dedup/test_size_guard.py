"""dedup.size_guard: both histograms are on disk before a giant component stops the run."""

from pathlib import Path

import pytest

from sauropod import schema
from sauropod.dedup.size_guard import SizeGuard
from sauropod.errors import InputError


def test_a_giant_component_stops_the_run_and_leaves_the_sizes(tmp_path: Path) -> None:
    path = tmp_path / "components.parquet"
    guard = SizeGuard(path, max_share=0.5, made_by={})
    guard.check({1: 100, 100: 1}, threshold=0.6)
    with pytest.raises(InputError, match=f"above 0.45: .* 200 images, found one of 151; .* {path}"):
        guard.check({1: 49, 151: 1}, threshold=0.45)
    rows = schema.read(path, schema.COMPONENTS).rows()
    assert [(size, count) for _, size, count in rows] == [(1, 100), (100, 1), (1, 49), (151, 1)]
    assert [threshold for threshold, _, _ in rows] == pytest.approx([0.6, 0.6, 0.45, 0.45])


def test_small_components_never_do(tmp_path: Path) -> None:
    SizeGuard(tmp_path / "a", max_share=0.01, made_by={}).check({100: 1}, threshold=0.6)
    SizeGuard(tmp_path / "b", max_share=0.01, made_by={}).check({}, threshold=0.6)
