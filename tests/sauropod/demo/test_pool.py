"""The crawl's plan: shares, statuses, canonical URLs."""

from urllib.parse import quote, unquote, urlsplit

import numpy as np
import polars as pl
import pytest

from sauropod.demo.config import Demo
from sauropod.demo.pool import DOMINANT, LABELS, WEIGHTS, Pool


def test_weights_are_a_long_tail() -> None:
    assert WEIGHTS.sum() == pytest.approx(1)
    assert LABELS[int(np.argmax(WEIGHTS))] == DOMINANT
    assert np.sort(WEIGHTS)[-1] > 3 * np.sort(WEIGHTS)[-2]


def test_counts_add_up(knobs: Demo, truth: pl.DataFrame) -> None:
    plan = Pool(knobs)
    counts = dict(
        truth.filter((pl.col("role") == "pool") & (pl.col("kind") != "trap"))
        .group_by(pl.col("kind").cast(pl.String))
        .len()
        .iter_rows()
    )
    assert counts["near_duplicate"] == plan.near
    assert counts["benchmark_copy"] == plan.benchmark
    assert counts["curated_copy"] == plan.curated
    assert counts["unsafe"] == plan.unsafe
    assert counts["junk"] == plan.junk
    assert counts["exact_copy"] == plan.exact + 1  # and one by redirect
    assert sum(counts.values()) == knobs.pool_images + 1


def test_groups_of_near_duplicates_have_two_to_six_members(truth: pl.DataFrame) -> None:
    groups = truth.filter(pl.col("kind") == "near_duplicate").group_by("parent").len()
    assert groups["len"].is_between(1, 5).all()


def test_urls_are_canonical_and_unique(truth: pl.DataFrame) -> None:
    urls = truth.filter((pl.col("role") == "pool") & (pl.col("kind") != "trap"))["name"]
    assert urls.is_unique().all()
    for url in urls:
        parts = urlsplit(url)
        assert parts.scheme == "http"
        assert parts.path == quote(unquote(parts.path))
