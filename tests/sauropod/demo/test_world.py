"""The world as files: determinism, truth against files, refusal to touch a strange folder."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import polars as pl
import pytest
from PIL import Image

from sauropod.demo import sets
from sauropod.demo.config import Demo
from sauropod.demo.ledger import Ledger
from sauropod.demo.world import TRUTH, expected_images, render_world
from sauropod.errors import InputError


def digests(root: Path) -> dict[str, str]:
    """Return the hash of every file but the truth, whose footer names the commit."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != TRUTH)
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def on_disk(world: Path, name: str) -> Path:
    """Return the file behind a truth name: below the site for URLs."""
    if "://" not in name:
        return world / name
    url = urlsplit(name)
    return world / "site" / url.netloc / unquote(url.path).lstrip("/")


def test_same_seed_gives_the_same_bytes(
    world: Path, truth: pl.DataFrame, knobs: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "world"
    names = list(render_world(again, knobs))
    first, second = digests(world), digests(again)
    first.pop("crawl.paths"), second.pop("crawl.paths")  # holds the path it was given
    assert first == second
    assert pl.read_parquet(again / TRUTH).equals(truth)
    assert len(names) == len(set(names)) == expected_images(knobs)


def test_another_seed_gives_other_pictures(knobs: Demo, world: Path, tmp_path: Path) -> None:
    few = Demo(**{**knobs.__dict__, "seed": 1})
    name = next(sets.curated(Ledger(tmp_path), few))
    assert (tmp_path / name).read_bytes() != (world / name).read_bytes()


def test_truth_hashes_are_of_the_bytes_served(world: Path, truth: pl.DataFrame) -> None:
    for name, sha256, parent in truth.select("name", "sha256", "parent").iter_rows():
        if sha256 is not None and not name.endswith("moved/photo.jpg"):
            assert hashlib.sha256(on_disk(world, name).read_bytes()).hexdigest() == sha256, name
        if parent:
            assert on_disk(world, parent).is_file()


def test_exact_copies_share_bytes_and_near_copies_do_not(truth: pl.DataFrame) -> None:
    pairs = truth.join(truth, left_on="parent", right_on="name", suffix="_parent")
    same = pl.col("sha256") == pl.col("sha256_parent")
    assert pairs.filter(pl.col("kind") == "exact_copy").select(same.all()).item()
    for kind in ("near_duplicate", "benchmark_copy", "curated_copy"):
        found = pairs.filter(pl.col("kind") == kind)
        assert found.height
        assert not found.select(same.any()).item()
        assert (found["transform"] != "").all()


def test_benchmark_copies_come_from_test_images(truth: pl.DataFrame) -> None:
    copies = truth.filter(pl.col("kind") == "benchmark_copy")
    parents = truth.join(copies, left_on="name", right_on="parent", how="semi")
    assert set(parents["split"]) == {"val"}
    assert set(parents["role"].cast(pl.String)) == {"benchmark"}


def test_every_good_image_decodes_and_its_faces_lie_inside(
    world: Path, truth: pl.DataFrame
) -> None:
    good = truth.filter(pl.col("sha256").is_not_null() & (pl.col("kind") != "trap"))
    for name, count, faces in good.select("name", "num_faces", "faces").iter_rows():
        if name.endswith("moved/photo.jpg"):
            continue
        with Image.open(io.BytesIO(on_disk(world, name).read_bytes())) as image:
            image.load()
            assert count == len(faces)
            for face in faces:
                assert face["left"] >= 0
                assert face["top"] >= 0
                assert face["left"] + face["width"] <= image.width + 1e-3
                assert face["top"] + face["height"] <= image.height + 1e-3


def test_one_class_dominates_and_some_are_only_in_the_crawl(truth: pl.DataFrame) -> None:
    pool = truth.filter((pl.col("role") == "pool") & (pl.col("kind") == "original"))
    counts = pool["label"].value_counts(sort=True)
    assert counts["label"][0] == "mug"
    curated = set(truth.filter(pl.col("role") == "curated")["label"])
    assert set(pool["label"]) - curated


def test_a_folder_that_is_not_a_world_is_left_alone(tmp_path: Path, knobs: Demo) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        next(render_world(tmp_path, knobs))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("knob", "value"),
    [("pool_images", 5), ("image_size", 4), ("unsafe_share", 0.9), ("junk_share", -0.1)],
)
def test_a_knob_out_of_range_is_named(knob: str, value: float, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"--{knob.replace('_', '-')}"):
        next(render_world(tmp_path / "world", replace(Demo(), **{knob: value})))
    assert not (tmp_path / "world").exists()
