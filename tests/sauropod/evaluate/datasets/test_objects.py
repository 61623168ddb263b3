from collections.abc import Callable
from pathlib import Path

from sauropod.evaluate.datasets.objects import read_caltech101, read_voc2007

Make = Callable[[str], Path]


def test_difficult_objects_do_not_count(miniature: Make) -> None:
    root = miniature("voc2007")
    table = root / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "pear_test.txt"
    table.write_text("000005  0\n000006  1\n")
    found = read_voc2007(root)
    assert found.metric == "mean_ap"
    assert found.splits["test"].labels.tolist() == [[1, -1], [0, 1]]


def test_caltechs_draw_is_fixed_and_leaves_the_background_out(miniature: Make) -> None:
    root = miniature("caltech101")
    one, again = read_caltech101(root), read_caltech101(root)
    assert one.classes == ("apple", "pear")
    assert one.splits["test"].images == again.splits["test"].images
    assert not set(one.splits["test"].images) & set(one.splits["train"].images)
