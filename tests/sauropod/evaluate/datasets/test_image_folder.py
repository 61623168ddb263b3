from pathlib import Path

import pytest
from PIL import Image

from sauropod.errors import InputError
from sauropod.evaluate.datasets.image_folder import read_image_folder


def _make(root: Path, names: dict[str, list[str]]) -> Path:
    for split, classes in names.items():
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for i in range(2):
                Image.new("RGB", (4, 4)).save(root / split / name / f"{i}.png")
    return root


def test_labels_follow_the_sorted_class_names(tmp_path: Path) -> None:
    root = _make(tmp_path, {"train": ["b", "a"], "val": ["a", "b"]})
    (root / "train" / "a" / "notes.txt").write_text("not an image")
    folder = read_image_folder(root)
    assert folder.classes == ("a", "b")
    train, test = folder.splits["train"], folder.splits["test"]
    assert [Path(str(path)).name for path in train.images] == ["0.png", "1.png"] * 2
    assert train.labels.tolist() == test.labels.tolist() == [0, 0, 1, 1]


def test_splits_may_have_other_names(tmp_path: Path) -> None:
    _make(tmp_path, {"train": ["a"], "test": ["a"]})
    assert len(read_image_folder(tmp_path, test="test").splits["test"].images) == 2


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ({"train": ["a"]}, "no such folder"),
        ({"train": ["a", "b"], "val": ["a"]}, "no folder b"),
        ({"train": ["a"], "val": ["a", "c"]}, "no folder c"),
    ],
)
def test_missing_class_or_split_is_named(
    tmp_path: Path, names: dict[str, list[str]], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        read_image_folder(_make(tmp_path, names))


def test_empty_class_and_empty_split(tmp_path: Path) -> None:
    _make(tmp_path, {"train": ["a"], "val": ["a"]})
    for path in (tmp_path / "val" / "a").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="images of this class, found none"):
        read_image_folder(tmp_path)
    (tmp_path / "val" / "a").rmdir()
    with pytest.raises(InputError, match="one folder per class, found none"):
        read_image_folder(tmp_path)
