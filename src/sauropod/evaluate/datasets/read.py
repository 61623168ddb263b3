"""From a layout's name to its reader."""

from pathlib import Path

from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import Dataset
from sauropod.evaluate.datasets.image_folder import read_image_folder


def read_dataset(root: Path, *, layout: str, train: str = "train", test: str = "val") -> Dataset:
    """List a labelled set; no image is opened.

    Args:
        root: The dataset's folder.
        layout: How its files lie, one of `config.LAYOUTS`.
        train: Folder of the training split; of an image_folder only.
        test: Folder of the split measured on; of an image_folder only.

    Raises:
        InputError: an unknown layout, or a file that it wants is missing.
    """
    match layout:
        case "image_folder":
            return read_image_folder(root, train=train, test=test)
        case _:
            flag = f"--layout {layout}"
            fix = "use one of those that config/README.md lists"
            raise InputError(flag, expected="a known layout", found="another", fix=fix)
