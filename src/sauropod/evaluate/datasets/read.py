"""From a layout's name to its reader."""

from pathlib import Path

from sauropod.errors import InputError
from sauropod.evaluate.datasets import arrays, clips, imagenet, lists, objects, packed
from sauropod.evaluate.datasets.dataset import Dataset
from sauropod.evaluate.datasets.dollar_street import read_dollar_street
from sauropod.evaluate.datasets.image_folder import read_image_folder


def read_dataset(root: Path, *, layout: str, train: str = "train", test: str = "val") -> Dataset:
    """List a labelled set; no image is opened.

    Args:
        root: The dataset's folder.
        layout: How its files lie, one of `config.LAYOUTS` of classification or robustness.
        train: Folder of the training split; of an image_folder only.
        test: Folder of the split measured on; of an image_folder only.

    Raises:
        InputError: an unknown layout, or a file that it wants is missing.
    """
    match layout:
        case "image_folder":
            return read_image_folder(root, train=train, test=test)
        case "inaturalist2018" | "inaturalist2021":
            return lists.read_inaturalist(root, year=int(layout[-4:]))
        case "cifar10" | "cifar100":
            return arrays.read_cifar(root, classes=int(layout[5:]))
    readers = {
        "imagenet": imagenet.read_imagenet,
        "imagenet_real": imagenet.read_real,
        "imagenet_c": imagenet.read_corrupted,
        "class_folders": imagenet.read_class_folders,
        "places205": lists.read_places205,
        "food101": lists.read_food101,
        "sun397": lists.read_sun397,
        "aircraft": lists.read_aircraft,
        "dtd": lists.read_dtd,
        "pets": lists.read_pets,
        "cub200": lists.read_cub200,
        "cars": arrays.read_cars,
        "flowers102": arrays.read_flowers102,
        "voc2007": objects.read_voc2007,
        "caltech101": objects.read_caltech101,
        "dollar_street": read_dollar_street,
        "ucf101": clips.read_ucf101,
        "kinetics": clips.read_kinetics,
        "ssv2": clips.read_ssv2,
        "tars": packed.read_tars,
        "parquet": packed.read_parquet,
    }
    if layout not in readers:
        flag = f"--layout {layout}"
        fix = "use one of those that config/README.md lists"
        raise InputError(flag, expected="a known layout", found="another", fix=fix)
    return readers[layout](root)
