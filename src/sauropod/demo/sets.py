"""The curated sets, the classification benchmarks and the detectors' training images."""

import io
from collections.abc import Iterator

import numpy as np
import polars as pl
from PIL import Image

from sauropod.demo import casting
from sauropod.demo.backdrops import PLACES
from sauropod.demo.config import Demo
from sauropod.demo.copies import encode
from sauropod.demo.junk import junk
from sauropod.demo.keys import generator, pick
from sauropod.demo.ledger import NO_FACES, Ledger, encoded
from sauropod.demo.scenes import CLASSES, SPECIES, WILD, Scene, render

OBJECTS = tuple(CLASSES)
FINE = tuple(SPECIES)


def _split(count: int) -> tuple[int, int]:
    """Return how many of `count` train and test: two thirds and one third, at least one each."""
    test = max(1, count // 3)
    return max(1, count - test), test


def _framed(knobs: Demo, name: str, label: str) -> Scene:
    """Return a scene of a label in a photo-like frame."""
    key = (knobs.seed, name)
    width, height = casting.frame(generator(*key, "frame"), knobs.image_size)
    if label in PLACES:
        return casting.place(label, key, width=width, height=height)
    return casting.portrait(label, key, width=width, height=height)


def curated(ledger: Ledger, knobs: Demo) -> Iterator[str]:
    """Write curated/{objects,fine,places}/<class>/*.jpg; yields every path written."""
    recipe = (
        ("objects", OBJECTS, knobs.curated_objects),
        ("fine", FINE, knobs.curated_fine),
        ("places", tuple(PLACES), knobs.curated_places),
    )
    for dataset, labels, count in recipe:
        for k in range(count):
            label = labels[k % len(labels)]
            path = f"curated/{dataset}/{label}/{k // len(labels):04d}.jpg"
            file = encoded(render(_framed(knobs, path, label)))
            ledger.image(path, file, role="curated", dataset=dataset, label=label)
            yield path


def classification(ledger: Ledger, knobs: Demo) -> Iterator[str]:
    """Write benchmarks/{objects,fine,objects_large}/{train,val}/<class>/*.jpg (ImageFolder).

    `objects_large` shows small subjects at twice the resolution: details matter. Yields paths.
    """
    counts = {"train": knobs.train_per_class, "val": knobs.val_per_class}
    large = dict(zip(counts, _split(knobs.large_per_class), strict=True))
    side = knobs.image_size
    recipe = (
        ("objects", OBJECTS, counts, side, 0.4),
        ("fine", FINE, counts, side, 0.4),
        ("objects_large", OBJECTS, large, 2 * side, 0.3),
    )
    for dataset, labels, splits, pixels, size in recipe:
        for split, count in splits.items():
            for k in range(count * len(labels)):
                label = labels[k % len(labels)]
                path = f"benchmarks/{dataset}/{split}/{label}/{k // len(labels):04d}.jpg"
                key = (knobs.seed, path)
                scene = casting.portrait(label, key, width=pixels, height=pixels, size=size)
                facts = {"dataset": dataset, "split": split, "label": label}
                ledger.image(path, encoded(render(scene)), role="benchmark", **facts)
                yield path


def _safe(knobs: Demo, name: str) -> Scene:
    """Return a scene of anything but the unsafe class, sometimes with people."""
    rng = generator(knobs.seed, "safe", name)
    scene = _framed(knobs, name, pick(rng, (*CLASSES, *WILD, *SPECIES, *PLACES)))
    people = int(rng.random() < 0.2)
    return casting.visited(scene, rng, people=people)


def unsafe_detector(ledger: Ledger, knobs: Demo) -> Iterator[str]:
    """Write detectors/nsfw/{safe,unsafe}/*.jpg; yields paths."""
    for k in range(knobs.detector_images):
        label = ("safe", "unsafe")[k % 2]
        path = f"detectors/nsfw/{label}/{k // 2:04d}.jpg"
        rng = generator(knobs.seed, path)
        if label == "unsafe":
            file = encoded(render(_framed(knobs, path, "hazard")))
        elif rng.random() < 0.15:
            file = encode(junk(rng, casting.frame(rng, knobs.image_size)), NO_FACES)
        else:
            file = encoded(render(_safe(knobs, path)))
        ledger.image(path, file, role="detector", dataset="nsfw", label=label)
        yield path


def _faces_scene(knobs: Demo, path: str, people: int) -> Scene:
    """Return a scene with a number of people: alone with the place, or walking into a scene."""
    key = (knobs.seed, path)
    rng = generator(*key, "people")
    if people and rng.random() < 0.5:
        width, height = casting.frame(rng, knobs.image_size)
        return casting.company(key, width=width, height=height, people=people)
    return casting.visited(_framed(knobs, path, pick(rng, OBJECTS)), rng, people=people)


def face_detector(ledger: Ledger, knobs: Demo) -> Iterator[str]:
    """Write detectors/faces/images/*.jpg and boxes.parquet; yields paths.

    Columns: file, and left, top, width, height in pixels; an image without a row has no face.

    A quarter of the images has no face: a detector must learn to stay silent.
    """
    boxes = []
    for k in range(knobs.detector_images):
        name = f"{k:04d}.jpg"
        path = f"detectors/faces/images/{name}"
        file = encoded(render(_faces_scene(knobs, path, k % 4)))
        ledger.image(
            path, file, role="detector", dataset="faces", label="face" if k % 4 else "none"
        )
        boxes += [(name, *np.round(face, 2).tolist()) for face in file.faces.astype(float)]
        yield path
    columns = {"file": pl.String, **dict.fromkeys(("left", "top", "width", "height"), pl.Float64)}
    buffer = io.BytesIO()
    pl.DataFrame(boxes, schema=columns, orient="row").write_parquet(buffer)
    ledger.write("detectors/faces/boxes.parquet", buffer.getvalue())


def png(values: np.ndarray) -> bytes:
    """Encode a uint8 or uint16 map (height, width) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()
