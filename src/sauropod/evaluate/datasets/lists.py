"""Sets whose splits are text lists or JSON: iNaturalist, Places205 and six of the transfer sets.

Every reader names the official archive; paths below are those it unpacks to.
"""

from pathlib import Path

from sauropod.evaluate.datasets.dataset import TEST, TRAIN, Dataset, Metric
from sauropod.evaluate.datasets.pieces import (
    class_folders,
    document,
    first_of,
    need,
    numbered,
    rows,
    split_of,
)

SPLITS = (TRAIN, TEST)


def read_inaturalist(root: Path, *, year: int) -> Dataset:
    """iNaturalist 2018 or 2021: train2018.json and val2018.json, or train.json and val.json.

    COCO's layout: `images` (id, file_name), `annotations` (image_id, category_id), `categories`.
    """
    get = f"unpack iNaturalist {year} and its annotations (github.com/visipedia/inat_comp)"
    suffix = str(year) if year == 2018 else ""
    books = {
        TRAIN: document(root / f"train{suffix}.json", get=get),
        TEST: document(root / f"val{suffix}.json", get=get),
    }
    categories = sorted(books[TRAIN]["categories"], key=lambda one: one["id"])
    place = {one["id"]: number for number, one in enumerate(categories)}
    splits = {}
    for name, book in books.items():
        paths = {one["id"]: root / one["file_name"] for one in book["images"]}
        pairs = [(paths[a["image_id"]], place[a["category_id"]]) for a in book["annotations"]]
        images, labels = zip(*pairs, strict=True) if pairs else ((), ())
        splits[name] = split_of(images, labels, where=root)
    return Dataset(tuple(str(one["name"]) for one in categories), splits)


def read_places205(root: Path) -> Dataset:
    """Places205: images256/<letter>/<class>/*.jpg, trainvalsplit_places205/*.csv (path, label)."""
    get = "unpack imagesPlaces205_resize and trainvalsplit_places205 (places.csail.mit.edu)"
    images = need(root / "images256", get=get)
    splits, names = {}, {}
    for split, name in zip(SPLITS, ("train", "val"), strict=True):
        table = root / "trainvalsplit_places205" / f"{name}_places205.csv"
        lines = rows(table, get=get, columns=2)
        names |= {int(label): str(Path(path).parent) for path, label, *_ in lines}
        labels = [int(label) for _, label, *_ in lines]
        splits[split] = split_of([images / path for path, *_ in lines], labels, where=table)
    return Dataset(tuple(names.get(k, str(k)) for k in range(max(names) + 1)), splits)


def read_food101(root: Path) -> Dataset:
    """Food-101: images/<class>/<number>.jpg, meta/{classes,train,test}.txt."""
    get = "unpack food-101.tar.gz (data.vision.ee.ethz.ch)"
    classes = [line[0] for line in rows(root / "meta" / "classes.txt", get=get)]
    splits = {}
    for split in SPLITS:
        table = root / "meta" / f"{split}.txt"
        names = [line[0] for line in rows(table, get=get)]
        labels = numbered([name.split("/")[0] for name in names], classes, where=table, get=get)
        paths = [root / "images" / f"{name}.jpg" for name in names]
        splits[split] = split_of(paths, labels, where=table)
    return Dataset(tuple(classes), splits)


def read_sun397(root: Path) -> Dataset:
    """SUN397: <letter>/<class>/*.jpg, ClassName.txt and, of the first partition, two lists."""
    get = "unpack SUN397.tar.gz and Partitions.zip into one folder (vision.princeton.edu)"
    classes = [line[0] for line in rows(root / "ClassName.txt", get=get)]
    splits = {}
    for split, name in zip(SPLITS, ("Training_01.txt", "Testing_01.txt"), strict=True):
        table = first_of(root / name, root / "Partitions" / name, get=get)
        paths = [line[0] for line in rows(table, get=get)]
        parents = [path.rpartition("/")[0] for path in paths]
        labels = numbered(parents, classes, where=table, get=get)
        splits[split] = split_of([root / path.lstrip("/") for path in paths], labels, where=table)
    return Dataset(tuple(classes), splits)


def read_aircraft(root: Path) -> Dataset:
    """FGVC Aircraft by variant: data/images/*.jpg, data/variants.txt and lists of both splits."""
    get = "unpack fgvc-aircraft-2013b.tar.gz (robots.ox.ac.uk)"
    data = need(root / "data", get=get)
    classes = [" ".join(line) for line in rows(data / "variants.txt", get=get)]
    splits = {}
    for split, name in zip(SPLITS, ("trainval", "test"), strict=True):
        table = data / f"images_variant_{name}.txt"
        lines = rows(table, get=get, columns=2)
        variants = [" ".join(words[1:]) for words in lines]
        labels = numbered(variants, classes, where=table, get=get)
        paths = [data / "images" / f"{words[0]}.jpg" for words in lines]
        splits[split] = split_of(paths, labels, where=table)
    return Dataset(tuple(classes), splits, metric="mean_per_class")


def read_dtd(root: Path) -> Dataset:
    """Describable textures, first partition: train and validation lists against the test list."""
    get = "unpack dtd-r1.0.1.tar.gz (robots.ox.ac.uk)"
    classes = class_folders(root / "images", get=get)
    splits = {}
    for split, lists in zip(SPLITS, (("train1", "val1"), ("test1",)), strict=True):
        tables = [root / "labels" / f"{name}.txt" for name in lists]
        names = [line[0] for table in tables for line in rows(table, get=get)]
        parents = [name.split("/")[0] for name in names]
        labels = numbered(parents, classes, where=tables[0], get=get)
        splits[split] = split_of([root / "images" / n for n in names], labels, where=tables[0])
    return Dataset(tuple(classes), splits)


def read_pets(root: Path) -> Dataset:
    """Oxford pets by breed: images/*.jpg, annotations/{trainval,test}.txt of `name class ...`."""
    get = "unpack images.tar.gz and annotations.tar.gz (robots.ox.ac.uk)"
    splits, names = {}, {}
    for split, name in zip(SPLITS, ("trainval", "test"), strict=True):
        table = root / "annotations" / f"{name}.txt"
        lines = rows(table, get=get, columns=2)
        names |= {int(words[1]): words[0].rpartition("_")[0] for words in lines}
        labels = [int(words[1]) - 1 for words in lines]
        paths = [root / "images" / f"{words[0]}.jpg" for words in lines]
        splits[split] = split_of(paths, labels, where=table)
    classes = tuple(names.get(k, str(k)) for k in range(1, max(names) + 1))
    return Dataset(classes, splits, metric="mean_per_class")


def read_cub200(root: Path) -> Dataset:
    """CUB-200-2011: images.txt, image_class_labels.txt and train_test_split.txt, all by number."""
    get = "unpack CUB_200_2011.tgz (vision.caltech.edu)"
    tables = ("images", "image_class_labels", "train_test_split", "classes")
    paths, labels, training, classes = (
        dict(words[:2] for words in rows(root / f"{name}.txt", get=get, columns=2))
        for name in tables
    )
    metric: Metric = "top1"
    splits = {}
    for split, flag in zip(SPLITS, ("1", "0"), strict=True):
        keys = [key for key in paths if training.get(key) == flag]
        images = [root / "images" / paths[key] for key in keys]
        numbers = [int(labels[key]) - 1 for key in keys]
        splits[split] = split_of(images, numbers, where=root / "train_test_split.txt")
    return Dataset(tuple(classes.values()), splits, metric=metric)
