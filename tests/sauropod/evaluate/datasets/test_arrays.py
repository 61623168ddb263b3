import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sauropod import images
from sauropod.errors import InputError
from sauropod.evaluate.datasets.arrays import Pixels, read_cars, read_cifar

Make = Callable[[str], Path]


class Call:
    """A pickle that would call something."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("executed",)


def test_pixels_come_back_exactly() -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    image = images.decode(Pixels("x", values).read_bytes())
    assert isinstance(image, Image.Image)
    np.testing.assert_array_equal(np.asarray(image).transpose(2, 0, 1), values)


def test_a_pickle_is_never_executed(miniature: Make, capsys: pytest.CaptureFixture[str]) -> None:
    root = miniature("cifar10")
    evil = {"data": Call(), "labels": [0]}
    (root / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps(evil))
    with pytest.raises(InputError, match=r"a call of builtins\.print"):
        read_cifar(root, classes=10)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        ({"labels": [0]}, "KeyError"),
        ({"data": np.zeros((2, 5), np.uint8), "labels": [0, 1]}, "ValueError"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "expected 2 labels, found 1"),
    ],
)
def test_a_broken_batch_is_one_sentence(
    miniature: Make, batch: dict[str, object], sentence: str
) -> None:
    root = miniature("cifar100")
    (root / "cifar-100-python" / "test").write_bytes(
        pickle.dumps({**batch, "fine_labels": batch["labels"]})
    )
    with pytest.raises(InputError, match=sentence):
        read_cifar(root, classes=100)


def test_junk_is_no_matlab_file(miniature: Make) -> None:
    root = miniature("cars")
    (root / "devkit" / "cars_meta.mat").write_bytes(b"junk" * 100)
    with pytest.raises(InputError, match="a MATLAB file"):
        read_cars(root)
