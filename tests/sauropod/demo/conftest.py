"""A small demo world, rendered once for all tests of this folder."""

from pathlib import Path

import polars as pl
import pytest

from sauropod import schema
from sauropod.demo.config import Demo
from sauropod.demo.world import render_world

SMALL = Demo(
    image_size=48,
    pool_images=90,
    near_duplicate_share=0.15,
    benchmark_copy_share=0.06,
    curated_copy_share=0.06,
    unsafe_share=0.06,
    curated_objects=16,
    curated_fine=8,
    curated_places=6,
    train_per_class=1,
    val_per_class=1,
    large_per_class=2,
    dense_images=6,
    instances=2,
    clips_per_action=3,
    clip_frames=4,
    detector_images=12,
)


@pytest.fixture(scope="session")
def knobs() -> Demo:
    """Return the knobs of the small world."""
    return SMALL


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, knobs: Demo) -> Path:
    """Return the folder of a small world."""
    out = tmp_path_factory.mktemp("demo") / "world"
    for _ in render_world(out, knobs):
        pass
    return out


@pytest.fixture(scope="session")
def truth(world: Path) -> pl.DataFrame:
    """Return the small world's truth."""
    return schema.read(world / "truth.parquet", schema.TRUTH)
