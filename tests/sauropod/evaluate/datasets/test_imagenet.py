from collections.abc import Callable
from pathlib import Path

import pytest

from sauropod.errors import InputError
from sauropod.evaluate.datasets.imagenet import read_class_folders, read_corrupted, read_real

Make = Callable[[str], Path]


def test_real_labels_are_sets_and_images_without_any_are_left_out(miniature: Make) -> None:
    found = read_real(miniature("imagenet_real"))
    assert found.metric == "any_of"
    assert found.splits["test"].labels.tolist() == [[1, 1]]
    assert "00000001" in str(found.splits["test"].images[0])


def test_real_labels_of_fewer_images_are_refused(miniature: Make) -> None:
    root = miniature("imagenet_real")
    (root / "real.json").write_text("[[0]]")
    with pytest.raises(InputError, match="ILSVRC2012_val_00000001"):
        read_real(root)
    (root / "real.json").write_text("[[0]")
    with pytest.raises(InputError, match="expected JSON"):
        read_real(root)


def test_corruptions_and_severities_are_groups(miniature: Make) -> None:
    root = miniature("imagenet_c")
    split = read_corrupted(root).splits["test"]
    assert len(split.images) == 8
    assert split.groups["corruption"].tolist() == ["fog"] * 4 + ["snow"] * 4
    assert split.groups["severity"].tolist() == ["1", "1", "2", "2"] * 2
    (root / "snow" / "2" / "n01440764").rename(root / "snow" / "2" / "n09999999")
    with pytest.raises(InputError, match="n01440764 differs"):
        read_corrupted(root)


def test_class_folders_are_test_images_only(miniature: Make) -> None:
    found = read_class_folders(miniature("class_folders"))
    assert found.classes == ("n01440764", "n01443537")
    assert list(found.splits) == ["test"]
