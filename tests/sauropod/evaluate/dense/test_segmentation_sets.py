from pathlib import Path

import numpy as np
import pytest

from sauropod.errors import InputError
from sauropod.evaluate.dense.miou import IGNORED
from sauropod.evaluate.dense.segmentation_sets import Layout, SegmentationSet, read_segmentation
from sauropod.images import ImageError

from .conftest import Write, picture


def _labels(*rows: list[int]) -> np.ndarray:
    return np.asarray(rows, np.uint8)


def _ade20k(write: Write) -> None:
    write("ADEChallengeData2016/objectInfo150.txt", "Idx\tRatio\tName\n1\t.2\twall\n2\t.1\tsky\n")
    for split, name in (("training", "ADE_train_1"), ("validation", "ADE_val_1")):
        write(f"ADEChallengeData2016/images/{split}/{name}.jpg", picture(0, 2, 3))
        labels = _labels([0, 1, 2], [2, 2, 0])
        write(f"ADEChallengeData2016/annotations/{split}/{name}.png", labels)


def _cityscapes(write: Write) -> None:
    for split, city in (("train", "aachen"), ("val", "munster")):
        name = f"{city}/{city}_000000_000019"
        write(f"leftImg8bit/{split}/{name}_leftImg8bit.png", picture(0, 2, 3))
        labels = _labels([7, 33, 0], [26, 9, 255])
        write(f"gtFine/{split}/{name}_gtFine_labelIds.png", labels)
        write(f"gtFine/{split}/{name}_gtFine_color.png", picture(1, 2, 3))


def _voc2012(write: Write) -> None:
    root = "VOCdevkit/VOC2012"
    write(f"{root}/ImageSets/Segmentation/train.txt", "a\n")
    write(f"{root}/ImageSets/Segmentation/aug.txt", "b\na\n")
    write(f"{root}/ImageSets/Segmentation/val.txt", "c\n")
    for name, folder in (("a", ""), ("b", "Aug"), ("c", "")):
        write(f"{root}/JPEGImages/{name}.jpg", picture(0, 2, 3))
        write(f"{root}/SegmentationClass{folder}/{name}.png", _labels([0, 20, 255], [1, 2, 3]))


def _pairs(write: Write) -> None:
    write("classes.txt", "cat\nignored\ndog\n")
    for split in ("train", "val"):
        write(f"{split}/images/a.jpg", picture(0, 2, 3))
        write(f"{split}/masks/a.png", _labels([0, 1, 2], [255, 0, 0]))


def _read(root: Path, layout: Layout) -> tuple[SegmentationSet, list[list[int]]]:
    found = read_segmentation(root, layout=layout)
    image, numbers = found.read(found.val[0])
    assert image.shape == (2, 3, 3)
    return found, numbers.tolist()


def test_ade20k_ignores_zero(write: Write, tmp_path: Path) -> None:
    _ade20k(write)
    found, numbers = _read(tmp_path, "ade20k")
    assert found.classes == ("wall", "sky")
    assert numbers == [[IGNORED, 0, 1], [1, 1, IGNORED]]
    assert _read(tmp_path / "ADEChallengeData2016", "ade20k")[1] == numbers


def test_cityscapes_has_19_of_34(write: Write, tmp_path: Path) -> None:
    _cityscapes(write)
    found, numbers = _read(tmp_path, "cityscapes")
    assert len(found.classes) == 19
    assert found.classes[13] == "car"
    assert numbers == [[0, 18, IGNORED], [13, IGNORED, IGNORED]]


def test_voc2012_trains_on_the_augmented_list(write: Write, tmp_path: Path) -> None:
    _voc2012(write)
    found, numbers = _read(tmp_path, "voc2012")
    assert len(found.classes) == 21
    assert [pair.image.stem for pair in found.train] == ["a", "b"]
    assert [pair.truth.parent.name for pair in found.train] == [
        "SegmentationClass",
        "SegmentationClassAug",
    ]
    assert numbers == [[0, 20, IGNORED], [1, 2, 3]]
    write("VOCdevkit/VOC2012/ImageSets/Segmentation/trainaug.txt", "b\n")
    assert [p.image.stem for p in read_segmentation(tmp_path, layout="voc2012").train] == ["b"]


def test_pairs_leave_out_what_is_called_ignored(write: Write, tmp_path: Path) -> None:
    _pairs(write)
    found, numbers = _read(tmp_path, "pairs")
    assert found.classes == ("cat", "dog")
    assert numbers == [[0, IGNORED, 1], [IGNORED, 0, 0]]


MISSING: list[tuple[Layout, str, str]] = [
    ("ade20k", "objectInfo150.txt", "ADEChallengeData2016.zip"),
    ("cityscapes", "leftImg8bit/train", "leftImg8bit_trainvaltest.zip"),
    ("voc2012", "ImageSets/Segmentation/train.txt", "VOCtrainval_11-May-2012.tar"),
    ("pairs", "classes.txt", "line k names label k"),
]


@pytest.mark.parametrize(("layout", "file", "get"), MISSING)
def test_an_empty_folder_says_what_belongs_there(
    tmp_path: Path, layout: Layout, file: str, get: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_segmentation(tmp_path, layout=layout)
    assert file in str(caught.value)
    assert get in str(caught.value)


def test_missing_pieces_are_named(write: Write, tmp_path: Path) -> None:
    _ade20k(write)
    (tmp_path / "ADEChallengeData2016/annotations/training/ADE_train_1.png").unlink()
    with pytest.raises(InputError, match=r"training/ADE_train_1\.png.*1 of 2 files missing"):
        read_segmentation(tmp_path, layout="ade20k")
    _voc2012(write)
    (tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/aug.txt").unlink()
    with pytest.raises(InputError, match=r"aug\.txt: expected this list or trainaug\.txt.*SBD"):
        read_segmentation(tmp_path, layout="voc2012")
    _pairs(write)
    for path in (tmp_path / "val/images").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"val/images: .*found no image"):
        read_segmentation(tmp_path, layout="pairs")
    write("classes.txt", "ignored\n")
    with pytest.raises(InputError, match="0 classes of 1 names"):
        read_segmentation(tmp_path, layout="pairs")
    write("ADEChallengeData2016/objectInfo150.txt", "Idx\tName\n0\tother\n")
    with pytest.raises(InputError, match="numbered from 1"):
        read_segmentation(tmp_path, layout="ade20k")


def test_masks_that_cannot_be_used_say_why(write: Write, tmp_path: Path) -> None:
    _pairs(write)
    found = read_segmentation(tmp_path, layout="pairs")
    for labels, word in (
        (_labels([0, 1, 3], [0, 0, 0]), "unknown_label"),
        (_labels([0, 1, 2]), "unequal_size"),
        (_labels([1, 1, 1], [1, 255, 1]), "no_label"),
        (_labels([0, 0, 0], [0, 0, 0]).astype(np.uint16) + 300, "unknown_label"),
        (picture(3, 2, 3), "not_a_map"),
    ):
        write("val/masks/a.png", labels)
        with pytest.raises(ImageError) as caught:
            found.read(found.val[0])
        assert caught.value.status == word
