from pathlib import Path

import numpy as np
import pytest

from sauropod.errors import InputError
from sauropod.evaluate.dense.depth_sets import (
    KITTI,
    NYU,
    SUN,
    DepthSet,
    Layout,
    Protocol,
    read_depth_set,
    read_sun_rgbd,
)
from sauropod.images import ImageError

from .conftest import Write, picture

OWN = Protocol(1000, 10, "whole", (16, 16))


def _deep(height: int, width: int, value: int = 2000) -> np.ndarray:
    return np.full((height, width), value, np.uint16)


def _read(root: Path, layout: Layout) -> DepthSet:
    return read_depth_set(root, layout=layout, own=OWN)


def test_nyu_in_the_toolboxs_folders_and_in_bts(write: Write, tmp_path: Path) -> None:
    for folder, place in (("toolbox", ""), ("bts", "sync/")):
        for name in ("kitchen_0028b", "bath"):
            part = "official_splits/test/" if place and name == "bath" else place
            write(f"{folder}/{part}{name}/rgb_1.jpg", picture(0, 480, 640))
            write(f"{folder}/{part}{name}/sync_depth_1.png", _deep(480, 640))
    write("toolbox/nyu_train.txt", "/kitchen_0028b/rgb_1.jpg /kitchen_0028b/sync_depth_1.png 518\n")
    write("toolbox/nyu_test.txt", "bath/rgb_1.jpg bath/sync_depth_1.png 518\n")
    for split, name in (("train", "kitchen_0028b"), ("test", "bath")):
        line = f"/{name}/rgb_1.jpg /{name}/sync_depth_1.png 518\n"
        write(f"bts/nyudepthv2_{split}_files_with_gt.txt", line)
    for folder in ("toolbox", "bts"):
        found = _read(tmp_path / folder, "nyu")
        assert found.protocol == NYU
        image, metres = found.read(found.train[0], training=True)
        assert image.shape == (427, 565, 3)
        assert metres.shape == (427, 565)
        assert (metres == 2).all()
        assert found.read(found.test[0], training=False)[1].shape == (480, 640)


def test_kitti_cuts_the_bottom_and_skips_lines_without_truth(write: Write, tmp_path: Path) -> None:
    drive = "2011_09_26_drive_0002_sync"
    image = f"2011_09_26/{drive}/image_02/data/0000000069.png"
    truth = f"{drive}/proj_depth/groundtruth/image_02/0000000069.png"
    write(f"input/{image}", picture(0, 375, 1242))
    depth = _deep(375, 1242, 256 * 7)
    depth[:23] = 0
    depth[374, 13] = 256 * 9  # bottom left of the cut
    write(f"gt_depth/{truth}", depth)
    for split in ("train", "test"):
        write(f"kitti_eigen_{split}.txt", f"{image} {truth} 721.5\nno/such.png None 721.5\n")
    found = _read(tmp_path, "kitti")
    assert found.protocol == KITTI
    assert len(found.train) == len(found.test) == 1
    for training in (True, False):
        pixels, metres = found.read(found.train[0], training=training)
        assert pixels.shape == (352, 1216, 3)
        assert metres[351, 0] == 9
        assert metres.min() == 7


def test_sun_rgbd_is_for_tests_alone(write: Write, tmp_path: Path) -> None:
    write("SUNRGBD/kv1/a/image/a.jpg", picture(0))
    write("SUNRGBD/kv1/a/depth/a.png", _deep(24, 32, 2000 << 3))
    lines = "SUNRGBD/kv1/a/image/a.jpg SUNRGBD/kv1/a/depth/a.png\n"
    write("SUNRGBD_val_splits.txt", lines)
    found = read_sun_rgbd(tmp_path)
    assert found.protocol == SUN
    assert found.train == ()
    assert (found.read(found.test[0], training=False)[1] == 2).all()


def test_pairs_by_list_or_by_folder(write: Write, tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(f"folders/{split}/rgb/a.jpg", picture(0))
        write(f"folders/{split}/depth/a.npy", np.full((24, 32), 1500.0))
    write("lists/x.jpg", picture(0))
    write("lists/x.png", _deep(24, 32, 1500))
    for split in ("train", "test"):
        write(f"lists/{split}.txt", "x.jpg x.png 1\n\n")
    for folder in ("folders", "lists"):
        found = _read(tmp_path / folder, "pairs")
        assert found.protocol == OWN
        assert (found.read(found.test[0], training=False)[1] == 1.5).all()


@pytest.mark.parametrize(
    ("layout", "file", "get"),
    [
        ("nyu", "nyu_train.txt", "sync.zip"),
        ("kitti", "kitti_eigen_train.txt", "data_depth_annotated"),
        ("pairs", "train/rgb", "{train,val}/{rgb,depth}"),
    ],
)
def test_an_empty_folder_says_what_belongs_there(
    tmp_path: Path, layout: Layout, file: str, get: str
) -> None:
    with pytest.raises(InputError) as caught:
        _read(tmp_path, layout)
    assert file in str(caught.value)
    assert get in str(caught.value)
    with pytest.raises(InputError, match=r"SUNRGBD_val_splits\.txt.*SUNRGBD\.zip"):
        read_sun_rgbd(tmp_path)


def test_lists_that_lie(write: Write, tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(f"nyu_{split}.txt", "a.jpg a.png 1\n")
    with pytest.raises(InputError, match=r"a\.jpg: expected a file .* 2 of 2 files missing"):
        _read(tmp_path, "nyu")
    write("nyu_train.txt", "only_one_word\n")
    with pytest.raises(InputError, match="'only_one_word' on line 1"):
        _read(tmp_path, "nyu")
    write("nyu_train.txt", "a.jpg None 1\n")
    with pytest.raises(InputError, match="found no image"):
        _read(tmp_path, "nyu")


def test_maps_that_cannot_be_used_say_why(slopes: DepthSet, write: Write) -> None:
    pair = slopes.test[0]
    write(f"depth/{pair.truth.name}", _deep(24, 31))
    with pytest.raises(ImageError, match="unequal_size"):
        slopes.read(pair, training=False)
    write(f"depth/{pair.truth.name}", _deep(24, 32, 0))
    with pytest.raises(ImageError, match="no_depth"):
        slopes.read(pair, training=False)
