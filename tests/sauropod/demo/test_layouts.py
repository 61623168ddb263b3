"""Every set in the layout of its real counterpart, read back the way its users read it."""

import json
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from sauropod.demo.backdrops import MEANINGS
from sauropod.demo.clips import MOTIONS
from sauropod.demo.config import Demo
from sauropod.demo.scenes import CLASSES, SPECIES


def test_image_folders_have_the_same_classes_in_both_splits(world: Path, knobs: Demo) -> None:
    for name, classes, size in (
        ("objects", CLASSES, knobs.image_size),
        ("fine", SPECIES, knobs.image_size),
        ("objects_large", CLASSES, 2 * knobs.image_size),
    ):
        for split in ("train", "val"):
            folder = world / "benchmarks" / name / split
            assert sorted(p.name for p in folder.iterdir()) == sorted(classes)
            files = list(folder.glob("*/*.jpg"))
            with Image.open(files[0]) as image:
                assert image.size == (size, size)


def test_segmentation_pairs_images_with_label_maps(world: Path) -> None:
    root = world / "benchmarks/segmentation"
    for split in ("training", "validation"):
        images = sorted(p.stem for p in (root / "images" / split).iterdir())
        maps = sorted((root / "annotations" / split).iterdir())
        assert images == [p.stem for p in maps]
        assert images
        for path in maps:
            labels = np.asarray(Image.open(path))
            assert labels.dtype == np.uint8
            assert labels.min() >= 1
            assert labels.max() < len(MEANINGS)
    assert (root / "objectInfo.txt").read_text().count("\n") == len(MEANINGS)


def test_depth_lists_name_existing_16_bit_maps(world: Path) -> None:
    root = world / "benchmarks/depth"
    for split in ("train", "test"):
        lines = (root / f"{split}.txt").read_text().splitlines()
        assert lines
        for line in lines:
            rgb, depth, _ = line.split()
            millimetres = np.asarray(Image.open(root / depth))
            assert millimetres.dtype == np.uint16
            assert 900 <= millimetres.min() <= millimetres.max() <= 10_000
            with Image.open(root / rgb) as image:
                assert image.size == millimetres.shape[::-1]


def test_instances_have_queries_with_easy_hard_and_junk(world: Path, knobs: Demo) -> None:
    root = world / "benchmarks/instances"
    book = json.loads((root / "gnd.json").read_text())
    assert len(book["qimlist"]) == len(book["gnd"]) == knobs.instances
    for query, truth in zip(book["qimlist"], book["gnd"], strict=True):
        assert (len(truth["easy"]), len(truth["hard"]), len(truth["junk"])) == (2, 2, 1)
        for index in (*truth["easy"], *truth["hard"], *truth["junk"]):
            assert book["imlist"][index].split("_")[0] == query.split("_")[0]
    for name in (*book["imlist"], *book["qimlist"]):
        assert (root / "jpg" / f"{name}.jpg").is_file()


def test_clips_are_split_and_move(world: Path, knobs: Demo) -> None:
    root = world / "benchmarks/clips"
    index = dict(reversed(s.split()) for s in (root / "classInd.txt").read_text().splitlines())
    assert list(index) == list(MOTIONS)
    train = [line.split() for line in (root / "trainlist01.txt").read_text().splitlines()]
    test = (root / "testlist01.txt").read_text().split()
    assert not {name for name, _ in train} & set(test)
    for name, number in train:
        assert index[name.split("/")[0]] == number
        frames = sorted((root / name).iterdir())
        assert len(frames) == knobs.clip_frames
        first, last = (np.asarray(Image.open(p), dtype=float) for p in (frames[0], frames[1]))
        assert np.abs(first - last).mean() > 0.5


def test_detector_sets(world: Path, knobs: Demo, truth: pl.DataFrame) -> None:
    root = world / "detectors"
    assert len(list((root / "nsfw/unsafe").iterdir())) == knobs.detector_images // 2
    assert list((root / "nsfw/safe").iterdir())
    boxes = pl.read_parquet(root / "faces/boxes.parquet")
    assert boxes.columns == ["file", "left", "top", "width", "height"]
    images = {p.name for p in (root / "faces/images").iterdir()}
    assert set(boxes["file"]) < images
    noted = truth.filter(pl.col("dataset") == "faces")["num_faces"].sum()
    assert boxes.height == noted > 0
