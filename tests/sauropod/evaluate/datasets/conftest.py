"""Miniature sets in official layouts: two classes, two training and one test image of each."""

import csv
import io
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy.io import savemat

CLASSES = ("apple", "pear")
COUNTS = {"train": 2, "test": 1}
WNIDS = ("n01440764", "n01443537")
Book = dict[str, list[tuple[str, int]]]


def jpeg(label: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), ((200, 20, 20), (20, 200, 20))[label]).save(buffer, "JPEG")
    return buffer.getvalue()


def write(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def images(root: Path, pattern: str) -> Book:
    """Write every image of both splits; the pattern knows split, label, name and number."""
    book: Book = {split: [] for split in COUNTS}
    number = 0
    for split, count in COUNTS.items():
        for label, name in enumerate(CLASSES):
            for _ in range(count):
                number += 1
                path = pattern.format(split=split, label=label, name=name, number=number)
                write(root / path, jpeg(label))
                book[split].append((path, label))
    return book


def lines(root: Path, path: str, rows: list[str]) -> None:
    write(root / path, "\n".join(rows) + "\n")


def image_folder(root: Path) -> None:
    images(root / "x", "{split}/{name}/{number}.jpg")
    (root / "x" / "train").rename(root / "train")
    (root / "x" / "test").rename(root / "val")


def imagenet(root: Path) -> None:
    for split, count in (("train", 2), ("val", 1)):
        for label, wnid in enumerate(WNIDS):
            for k in range(count):
                name = f"ILSVRC2012_val_{1 + label + 2 * k:08d}_{wnid}.JPEG"
                write(root / split / wnid / name, jpeg(label))


def imagenet_real(root: Path) -> None:
    imagenet(root)
    write(root / "real.json", json.dumps([[0, 1], []]))


def class_folders(root: Path) -> None:
    for label, wnid in enumerate(WNIDS):
        write(root / wnid / "a.jpg", jpeg(label))


def imagenet_c(root: Path) -> None:
    for corruption in ("fog", "snow"):
        for severity in "12":
            class_folders(root / corruption / severity)


def inaturalist(root: Path, names: tuple[str, str]) -> None:
    book = images(root, "{split}_images/{name}/{number}.jpg")
    for name, rows in zip(names, book.values(), strict=True):
        told = {
            "images": [{"id": k, "file_name": path} for k, (path, _) in enumerate(rows)],
            "annotations": [
                {"image_id": k, "category_id": 10 + label} for k, (_, label) in enumerate(rows)
            ],
            "categories": [{"id": 10 + k, "name": name} for k, name in enumerate(CLASSES)],
        }
        write(root / f"{name}.json", json.dumps(told))


def places205(root: Path) -> None:
    book = images(root / "images256", "{name}/{split}{number}.jpg")
    for split, name in (("train", "train"), ("test", "val")):
        rows = [f"{path} {label}" for path, label in book[split]]
        lines(root, f"trainvalsplit_places205/{name}_places205.csv", rows)


def food101(root: Path) -> None:
    book = images(root / "images", "{name}/{number}.jpg")
    lines(root, "meta/classes.txt", list(CLASSES))
    for split, rows in book.items():
        lines(root, f"meta/{split}.txt", [path.removesuffix(".jpg") for path, _ in rows])


def sun397(root: Path) -> None:
    book = images(root, "a/{name}/sun_{number}.jpg")
    lines(root, "ClassName.txt", [f"/a/{name}" for name in CLASSES])
    for split, name in (("train", "Training_01"), ("test", "Testing_01")):
        lines(root, f"Partitions/{name}.txt", [f"/{path}" for path, _ in book[split]])


def aircraft(root: Path) -> None:
    book = images(root, "data/images/{number}.jpg")
    names = ("Boeing 707", "A300")
    lines(root, "data/variants.txt", list(names))
    for split, name in (("train", "trainval"), ("test", "test")):
        rows = [f"{Path(path).stem} {names[label]}" for path, label in book[split]]
        lines(root, f"data/images_variant_{name}.txt", rows)


def dtd(root: Path) -> None:
    book = images(root / "images", "{name}/{name}_{number}.jpg")
    train = [path for path, _ in book["train"]]
    lines(root, "labels/train1.txt", train[::2])
    lines(root, "labels/val1.txt", train[1::2])
    lines(root, "labels/test1.txt", [path for path, _ in book["test"]])


def pets(root: Path) -> None:
    book = images(root / "images", "{name}_{number}.jpg")
    for split, name in (("train", "trainval"), ("test", "test")):
        rows = [f"{Path(path).stem} {label + 1} 1 1" for path, label in book[split]]
        lines(root, f"annotations/{name}.txt", rows)


def cub200(root: Path) -> None:
    book = images(root / "images", "{name}/{number}.jpg")
    rows = [(path, label, split) for split, pairs in book.items() for path, label in pairs]
    names = ("images", "image_class_labels", "train_test_split")
    tables = [
        [f"{k} {value}" for k, value in enumerate(column, start=1)]
        for column in (
            [path for path, _, _ in rows],
            [label + 1 for _, label, _ in rows],
            [int(split == "train") for _, _, split in rows],
        )
    ]
    for name, table in zip(names, tables, strict=True):
        lines(root, f"{name}.txt", table)
    lines(root, "classes.txt", [f"{k} {name}" for k, name in enumerate(CLASSES, start=1)])


def cifar(root: Path, classes: int) -> None:
    folder = root / ("cifar-10-batches-py" if classes == 10 else "cifar-100-python")
    key = "labels" if classes == 10 else "fine_labels"
    train = [f"data_batch_{k}" for k in range(1, 6)] if classes == 10 else ["train"]
    test = "test_batch" if classes == 10 else "test"
    for name in [*train, test]:
        count = 2 if name in ("data_batch_1", "data_batch_4", test) else 4 if name == "train" else 0
        labels = [k % 2 for k in range(count)]
        data = np.asarray(labels, dtype=np.uint8)[:, None].repeat(3072, 1) * 200
        write(folder / name, pickle.dumps({"data": data, key: labels}, protocol=2))
    meta = {"label_names" if classes == 10 else "fine_label_names": list(CLASSES)}
    write(folder / ("batches.meta" if classes == 10 else "meta"), pickle.dumps(meta))


def cars(root: Path) -> None:
    book = images(root, "cars_{split}/{number:05d}.jpg")
    (root / "devkit").mkdir()
    savemat(root / "devkit" / "cars_meta.mat", {"class_names": np.array(CLASSES, dtype=object)})
    places = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    for split, rows in book.items():
        table = np.zeros(len(rows), dtype=[("class", object), ("fname", object)])
        for one, (path, label) in zip(table, rows, strict=True):
            one["class"], one["fname"] = label + 1, Path(path).name
        savemat(root / places[split], {"annotations": table[None]})


def flowers102(root: Path) -> None:
    book = images(root, "jpg/image_{number:05d}.jpg")
    labels = [label + 1 for rows in book.values() for _, label in rows]
    savemat(root / "imagelabels.mat", {"labels": np.array([labels])})
    ids = {"trnid": [[1, 3]], "valid": [[2, 4]], "tstid": [[5, 6]]}
    savemat(root / "setid.mat", {name: np.array(values) for name, values in ids.items()})


def voc2007(root: Path) -> None:
    inner = root / "VOCdevkit" / "VOC2007"
    book = images(inner, "JPEGImages/{number:06d}.jpg")
    for split, name in (("train", "trainval"), ("test", "test")):
        rows = [(Path(path).stem, label) for path, label in book[split]]
        lines(inner, f"ImageSets/Main/{name}.txt", [key for key, _ in rows])
        for label, word in enumerate(CLASSES):
            told = [f"{key} {1 if label == own else -1:2d}" for key, own in rows]
            lines(inner, f"ImageSets/Main/{word}_{name}.txt", told)


def caltech101(root: Path) -> None:
    for label, name in enumerate((*CLASSES, "BACKGROUND_Google")):
        for k in range(31):
            write(root / "101_ObjectCategories" / name / f"{k:04d}.jpg", jpeg(label % 2))


def dollar_street(root: Path) -> None:
    book = images(root, "assets/{number}.jpg")
    for split, rows in book.items():
        file = io.StringIO()
        table = csv.writer(file)
        table.writerow(["id", "region.id", "imageRelPath", "topics", "income"])
        for k, (path, label) in enumerate(rows):
            table.writerow([k, ("af", "eu")[k % 2], path, CLASSES[label], 100.0 * (k + 1)])
        write(root / f"images_v2_imagenet_{split}.csv", file.getvalue())


def frames(folder: Path, label: int) -> None:
    for k in range(3):
        write(folder / f"{k}.jpg", jpeg(label))


def video(path: Path, label: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (16, 12))
    for k in range(10):
        colour = [(0, 0, 20 * k), (0, 20 * k, 0)][label]
        writer.write(np.full((12, 16, 3), colour, dtype=np.uint8))
    writer.release()


def ucf101(root: Path) -> None:
    lines(root, "ucfTrainTestlist/classInd.txt", [f"{k + 1} {n}" for k, n in enumerate(CLASSES)])
    for split, count in COUNTS.items():
        names = [f"{n}/v_{n}_{split}{k}.avi" for n in CLASSES for k in range(count)]
        for name in names:
            label = CLASSES.index(name.split("/")[0])
            if split == "test":
                video(root / "UCF-101" / name, label)
            else:
                frames(root / "UCF-101" / name.removesuffix(".avi"), label)
        lines(root, f"ucfTrainTestlist/{split}list01.txt", names)


def kinetics(root: Path) -> None:
    for split, count in (("train", 2), ("val", 1)):
        for label, name in enumerate(CLASSES):
            for k in range(count):
                frames(root / split / name / f"clip{k}", label)


def ssv2(root: Path) -> None:
    names = [f"Moving something {name}" for name in CLASSES]
    write(root / "labels" / "labels.json", json.dumps({n: str(k) for k, n in enumerate(names)}))
    number = 0
    for split, count in (("train", 2), ("validation", 1)):
        told = []
        for label, name in enumerate(CLASSES):
            for _ in range(count):
                number += 1
                frames(root / "20bn-something-something-v2" / str(number), label)
                told.append({"id": str(number), "template": f"Moving [something] {name}"})
        write(root / "labels" / f"{split}.json", json.dumps(told))


def tars(root: Path) -> None:
    for split, count in COUNTS.items():
        (root / split).mkdir(parents=True)
        with tarfile.open(root / split / "00000.tar", "w") as tar:
            for k in range(2 * count):
                for suffix, data in (("jpg", jpeg(k % 2)), ("cls", str(k % 2).encode())):
                    info = tarfile.TarInfo(f"{k:04d}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


def parquet(root: Path) -> None:
    for split, count in COUNTS.items():
        numbers = [k % 2 for k in range(2 * count)]
        cells = [{"bytes": jpeg(number), "path": None} for number in numbers]
        root.mkdir(parents=True, exist_ok=True)
        table = pl.DataFrame({"image": cells, "label": numbers})
        table.write_parquet(root / f"{split}-00000.parquet", row_group_size=1)


WRITERS: dict[str, Callable[[Path], None]] = {
    "image_folder": image_folder,
    "imagenet": imagenet,
    "imagenet_real": imagenet_real,
    "imagenet_c": imagenet_c,
    "class_folders": class_folders,
    "inaturalist2018": lambda root: inaturalist(root, ("train2018", "val2018")),
    "inaturalist2021": lambda root: inaturalist(root, ("train", "val")),
    "places205": places205,
    "food101": food101,
    "cifar10": lambda root: cifar(root, 10),
    "cifar100": lambda root: cifar(root, 100),
    "sun397": sun397,
    "cars": cars,
    "aircraft": aircraft,
    "voc2007": voc2007,
    "dtd": dtd,
    "pets": pets,
    "caltech101": caltech101,
    "flowers102": flowers102,
    "cub200": cub200,
    "dollar_street": dollar_street,
    "ucf101": ucf101,
    "kinetics": kinetics,
    "ssv2": ssv2,
    "tars": tars,
    "parquet": parquet,
}


@pytest.fixture
def miniature(tmp_path: Path) -> Callable[[str], Path]:
    """Write a miniature set of a layout and say where."""

    def make(layout: str) -> Path:
        WRITERS[layout](tmp_path / layout)
        return tmp_path / layout

    return make
