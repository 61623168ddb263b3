import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sauropod.errors import InputError
from sauropod.evaluate.dense import depth, segmentation
from sauropod.evaluate.dense.config import Depth, Segmentation, SegmentationHead
from sauropod.evaluate.dense.depth_sets import NYU, DepthSet
from sauropod.evaluate.dense.head_file import (
    load_depth,
    load_segmentation,
    save_depth,
    save_segmentation,
)
from sauropod.evaluate.dense.patch_maps import colour_mapper, last_blocks
from sauropod.evaluate.dense.segmentation_sets import SegmentationSet

SMALL = SegmentationHead(image_size=(32, 24), crop=16, stride=8)
COLOURS = last_blocks(None, floor_patch=4)


def test_segmentation_heads_predict_the_same_again(tmp_path: Path, halves: SegmentationSet) -> None:
    knobs = Segmentation(heads=("linear",), steps=5, batch_size=2, linear=SMALL)
    settings = {"batch_size": 2, "device": "cpu"}
    _, heads = segmentation.measure(COLOURS, dataset=halves, knobs=knobs, num_threads=1, **settings)
    path = tmp_path / "heads.safetensors"
    save_segmentation(heads, path, classes=halves.classes, knobs=knobs, stamp={"stage": "x"})
    found = load_segmentation(path, mapper_of=COLOURS, device="cpu")
    assert found.classes == ("red", "blue")
    assert found.knobs == knobs
    image, _ = halves.read(halves.val[0])
    predicted = [
        segmentation.predict(head, COLOURS(1), image, recipe=SMALL, **settings)
        for head in (heads["linear"], found.heads["linear"])
    ]
    assert (predicted[0] == predicted[1]).all()
    with pytest.raises(InputError, match="expected depth heads, found heads of another kind"):
        load_depth(path, mapper=COLOURS(4), device="cpu")
    with pytest.raises(InputError, match="a head linear for this backbone, found other shapes"):
        load_segmentation(path, mapper_of=lambda _: COLOURS(3), device="cpu")


def test_depth_heads_predict_the_same_again(tmp_path: Path, slopes: DepthSet) -> None:
    knobs = Depth(steps=3, batch_size=2, num_bins=8, channels=8)
    mapper = colour_mapper(patch_size=4, num_layers=4)
    _, heads = depth.measure(mapper, dataset=slopes, knobs=knobs, num_threads=1, device="cpu")
    path = tmp_path / "heads.safetensors"
    save_depth(heads, path, protocol=slopes.protocol, knobs=knobs, stamp={})
    found = load_depth(path, mapper=mapper, device="cpu")
    assert found.protocol == slopes.protocol
    assert found.knobs == knobs
    image, _ = slopes.read(slopes.test[0], training=False)
    ours, theirs = (
        depth.predict(group, mapper, image, protocol=slopes.protocol, flip=True, device="cpu")
        for group in (heads, found.heads)
    )
    assert ours.keys() == theirs.keys() == {"linear1", "linear4", "dpt"}
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    save_depth(heads, path, protocol=NYU, knobs=dataclasses.replace(knobs, heads=()), stamp={})
    assert load_depth(path, mapper=mapper, device="cpu").protocol == NYU


def test_junk_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "junk"
    path.write_bytes(b"junk")
    with pytest.raises(InputError, match="expected trained heads, found none that can be read"):
        load_segmentation(path, mapper_of=COLOURS, device="cpu")
