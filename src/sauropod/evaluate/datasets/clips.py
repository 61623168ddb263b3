"""Sets of videos: UCF101, Kinetics, Something-Something v2; files, or folders of their frames.

A clip that the list calls `x.avi` may be the file x.avi, or the folder x of JPEGs. Where a file
gives fewer frames than it announces, those that it gives are spaced evenly.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from sauropod import images
from sauropod.errors import InputError
from sauropod.evaluate.datasets.dataset import TEST, TRAIN, Dataset, Split
from sauropod.evaluate.datasets.pieces import (
    SUFFIXES,
    class_folders,
    document,
    files_in,
    first_of,
    numbered,
    rows,
)

ENDINGS = (".avi", ".mp4", ".webm", ".mkv")
MAX_FRAMES = 100_000


def spaced(total: int, count: int) -> list[int]:
    """`count` places of `total` frames: the middles of as many equal parts."""
    return [int((k + 0.5) * total / count) for k in range(count)]


@dataclass(frozen=True)
class Video:
    """A clip: a video file, or a folder of frames whose names sort in time."""

    path: Path

    def read_frames(self, count: int) -> list[Image.Image]:
        """Evenly spaced frames, RGB; of a shorter clip some more than once.

        Raises:
            ImageError: no frame can be read.
        """
        if self.path.is_dir():
            files = files_in(self.path, SUFFIXES)
            if not files:
                raise images.ImageError("not_an_image")
            chosen = [files[place] for place in spaced(len(files), count)]
            return [images.decode(path.read_bytes()) for path in chosen]
        return _decoded(self.path, count)

    def __str__(self) -> str:
        """Its path."""
        return str(self.path)


def _decoded(path: Path, count: int) -> list[Image.Image]:
    """Frames of a file; it is read twice, for containers lie about how many there are."""
    total = sum(1 for _ in _frames(path, wanted=frozenset()))
    if not total:
        raise images.ImageError("decode_error")
    places = spaced(total, count)
    found = dict(_frames(path, wanted=frozenset(places)))
    return [found[place] for place in places]


def _frames(path: Path, *, wanted: frozenset[int]) -> Any:  # noqa: ANN401 - a generator of pairs
    """Yield (place, frame); a frame that is not wanted is not converted, and None stands for it."""
    reader = cv2.VideoCapture(str(path))
    try:
        for place in range(MAX_FRAMES):
            if not reader.grab():
                return
            if place not in wanted:
                yield place, None
                continue
            whole, pixels = reader.retrieve()
            if not whole:
                raise images.ImageError("decode_error")
            yield place, Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
    finally:
        reader.release()


def _clip(root: Path, name: str, *, get: str) -> Video:
    """The clip of a list's line: the file it names, or the folder of its frames."""
    bare = root / (name.rpartition(".")[0] if name.endswith(ENDINGS) else name)
    files = [bare.with_name(bare.name + ending) for ending in ENDINGS]
    return Video(first_of(root / name, bare, *files, get=get))


def _split(clips: list[Video], labels: list[int] | np.ndarray, *, where: Path, get: str) -> Split:
    if not clips:
        raise InputError(where, expected="clips", found="none", fix=get)
    return Split(tuple(clips), np.asarray(labels, dtype=np.int64))


def read_ucf101(root: Path) -> Dataset:
    """UCF101, first split: UCF-101/<Class>/*.avi and ucfTrainTestlist/{classInd,train,test}."""
    get = "unpack UCF101.rar and UCF101TrainTestSplits (crcv.ucf.edu)"
    lists = root / "ucfTrainTestlist"
    lists = lists if lists.is_dir() else root
    clips = root / "UCF-101"
    clips = clips if clips.is_dir() else root
    index = rows(lists / "classInd.txt", get=get, columns=2)
    classes = [words[1] for words in sorted(index, key=lambda words: int(words[0]))]
    splits = {}
    for split in (TRAIN, TEST):
        table = lists / f"{split}list01.txt"
        names = [words[0] for words in rows(table, get=get)]
        labels = numbered([name.split("/")[0] for name in names], classes, where=table, get=get)
        found = [_clip(clips, name, get=get) for name in names]
        splits[split] = _split(found, labels, where=table, get=get)
    return Dataset(tuple(classes), splits)


def read_kinetics(root: Path) -> Dataset:
    """Kinetics: {train,val}/<class>/<clip>, clips that are files or folders of frames."""
    get = "lay Kinetics (github.com/cvdfoundation/kinetics-dataset) out as {train,val}/<class>/"
    classes = class_folders(root / "train", get=get)
    splits = {}
    for split, name in ((TRAIN, "train"), (TEST, "val")):
        names = class_folders(root / name, get=get)
        numbers = numbered(names, classes, where=root / name, get=get)
        clips, labels = [], []
        for label, folder in zip(numbers.tolist(), names, strict=True):
            entries = sorted((root / name / folder).iterdir())
            found = [Video(e) for e in entries if e.is_dir() or e.suffix.lower() in ENDINGS]
            clips += found
            labels += [label] * len(found)
        splits[split] = _split(clips, labels, where=root / name, get=get)
    return Dataset(tuple(classes), splits)


def read_ssv2(root: Path) -> Dataset:
    """Something-Something v2: 20bn-something-something-v2/<id>.webm, labels/*.json.

    Order in time matters there, so that frames stand side by side instead of being averaged.
    """
    get = "unpack the videos and the labels of Something-Something v2 (qualcomm.com)"
    labels = root / "labels"
    labels = labels if labels.is_dir() else root
    numbers = {name: int(k) for name, k in document(labels / "labels.json", get=get).items()}
    classes = sorted(numbers, key=numbers.__getitem__)
    splits = {}
    for split, name in ((TRAIN, "train"), (TEST, "validation")):
        table = labels / f"{name}.json"
        told = document(table, get=get)
        templates = [one["template"].replace("[", "").replace("]", "") for one in told]
        found = [
            _clip(root / "20bn-something-something-v2", f"{one['id']}.webm", get=get)
            for one in told
        ]
        places = numbered(templates, classes, where=table, get=get)
        splits[split] = _split(found, places, where=table, get=get)
    return Dataset(tuple(classes), splits, pooling="concat")
