"""The benchmarks beyond classification: segmentation, depth, instances and clips, as files."""

import json
from collections.abc import Iterator

import numpy as np

from sauropod.demo import casting
from sauropod.demo.backdrops import MEANINGS
from sauropod.demo.clips import MOTIONS, clip
from sauropod.demo.config import Demo
from sauropod.demo.keys import generator, pick
from sauropod.demo.ledger import Ledger, encoded
from sauropod.demo.scenes import CLASSES, SPECIES, Shot, render, subject
from sauropod.demo.sets import png

FOCAL_PIXELS = 96.0  # written in the depth lists, as the NYU lists do; nothing reads it
EASY, HARD, JUNK = "easy", "hard", "junk"
INSTANCES = "benchmarks/instances"


def _street(knobs: Demo, path: str) -> Shot:
    side, rng = knobs.image_size, generator(knobs.seed, path)
    people = int(rng.random() < 0.4)
    return render(casting.street((knobs.seed, path), width=side, height=side, people=people))


def segmentation(ledger: Ledger, knobs: Demo) -> Iterator[str]:
    """Write benchmarks/segmentation in the layout of ADE20K: 8-bit labels, 0 is ignored.

    images/{training,validation}/*.jpg, annotations/{training,validation}/*.png, objectInfo.txt.
    """
    root = "benchmarks/segmentation"
    for k in range(knobs.dense_images):
        split = "validation" if k % 3 == 2 else "training"
        name = f"ADE_{'val' if k % 3 == 2 else 'train'}_{k:08d}"
        path = f"{root}/images/{split}/{name}.jpg"
        shot = _street(knobs, path)
        facts = {"dataset": "segmentation", "split": split}
        ledger.image(path, encoded(shot), role="benchmark", **facts)
        ledger.write(f"{root}/annotations/{split}/{name}.png", png(shot.rendered.mask))
        yield path
    lines = [f"{k}\t{name}" for k, name in enumerate(MEANINGS) if k]
    ledger.write(f"{root}/objectInfo.txt", ("Idx\tName\n" + "\n".join(lines) + "\n").encode())


def depth(ledger: Ledger, knobs: Demo) -> Iterator[str]:
    """Write benchmarks/depth in the layout of the NYU lists.

    rgb/*.jpg, depth/*.png (16-bit millimetres), {train,test}.txt: `rgb depth focal` per line.
    """
    root = "benchmarks/depth"
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for k in range(knobs.dense_images):
        split = "test" if k % 3 == 2 else "train"
        path = f"{root}/rgb/{k:05d}.jpg"
        shot = _street(knobs, path)
        ledger.image(path, encoded(shot), role="benchmark", dataset="depth", split=split)
        millimetres = np.round(1000 * shot.rendered.depth).astype(np.uint16)
        ledger.write(f"{root}/depth/{k:05d}.png", png(millimetres))
        lists[split].append(f"rgb/{k:05d}.jpg depth/{k:05d}.png {FOCAL_PIXELS}")
        yield path
    for split, lines in lists.items():
        ledger.write(f"{root}/{split}.txt", ("\n".join(lines) + "\n").encode())


def _view(knobs: Demo, instance: int, number: int, path: str) -> Shot:
    """Render a view of an instance; 3 and 4 are small, in 4 a person stands by, 5 is cut off."""
    rng = generator(knobs.seed, "instance", instance)
    label = tuple(CLASSES)[instance % len(CLASSES)]
    who = subject(label, rng)
    side = knobs.image_size
    scene = casting.view(who, (knobs.seed, path), width=side, height=side)
    if number == 5:
        shot = render(scene)
        cut = shot.rendered._replace(pixels=shot.rendered.pixels[:, : side // 3])
        return Shot(cut, shot.faces)
    if number < 3:
        return render(scene)
    crowd = generator(knobs.seed, path, "crowd")
    small = casting.staged(who, scene, crowd, size=crowd.uniform(0.15, 0.24))
    return render(casting.visited(small, crowd, people=int(number == 4), head_pixels=(12, 20)))


def instances(ledger: Ledger, knobs: Demo) -> Iterator[str]:
    """Write benchmarks/instances: jpg/*.jpg and gnd.json in the sense of ROxford.

    gnd.json: `imlist` (database names), `qimlist` (query names) and `gnd`, per query the indices
    into imlist that are `easy`, `hard` and `junk`, and its `bbx` (left, top, right, bottom).
    View 0 of an instance is its query; views 1 and 2 are easy, 3 and 4 hard, 5 junk (cut off).
    """
    side = knobs.image_size
    names: list[str] = []
    queries, truth = [], []
    for instance in range(knobs.instances):
        lists: dict[str, list[int]] = {EASY: [], HARD: [], JUNK: []}
        for number, grade in enumerate(("", EASY, EASY, HARD, HARD, JUNK)):
            name = f"object{instance:03d}_{number}"
            path = f"{INSTANCES}/jpg/{name}.jpg"
            shot = _view(knobs, instance, number, path)
            split = "database" if number else "query"
            facts = {"dataset": "instances", "split": split, "label": name.split("_")[0]}
            ledger.image(path, encoded(shot), role="benchmark", **facts)
            if number:
                lists[grade].append(len(names))
                names.append(name)
            else:
                queries.append(name)
            yield path
        truth.append({**lists, "bbx": [0, 0, side, side]})
    yield from _distractors(ledger, knobs, names)
    book = {"imlist": names, "qimlist": queries, "gnd": truth}
    ledger.write(f"{INSTANCES}/gnd.json", (json.dumps(book, indent=1) + "\n").encode())


def _distractors(ledger: Ledger, knobs: Demo, names: list[str]) -> Iterator[str]:
    """Add three database images of other objects per instance to `names`."""
    side = knobs.image_size
    for k in range(knobs.instances * 3):
        names.append(f"other{k:03d}")
        path = f"{INSTANCES}/jpg/{names[-1]}.jpg"
        rng = generator(knobs.seed, path)
        who = subject(pick(rng, (*CLASSES, *SPECIES)), rng)
        shot = render(casting.view(who, (knobs.seed, path), width=side, height=side))
        ledger.image(path, encoded(shot), role="benchmark", dataset="instances", split="database")
        yield path


def clips(ledger: Ledger, knobs: Demo) -> Iterator[str]:
    """Write benchmarks/clips in the manner of UCF101: a folder per class, split lists.

    <Action>/v_<Action>_g<group>_c01/frame<000>.jpg; trainlist01.txt has `clip number`,
    testlist01.txt `clip`, classInd.txt `number name`, numbers from 1.
    """
    root = "benchmarks/clips"
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for number, action in enumerate(MOTIONS, start=1):
        for group in range(knobs.clips_per_action):
            split = "test" if group % 3 == 2 else "train"
            name = f"{action}/v_{action}_g{group + 1:02d}_c01"
            label = pick(generator(knobs.seed, name), tuple(CLASSES))
            key = (knobs.seed, name)
            shots = clip(action, label, key, size=knobs.image_size, frames=knobs.clip_frames)
            for k, shot in enumerate(shots):
                path = f"{root}/{name}/frame{k:03d}.jpg"
                facts = {"dataset": "clips", "split": split, "label": action}
                ledger.image(path, encoded(shot), role="benchmark", **facts)
                yield path
            lists[split].append(f"{name} {number}" if split == "train" else name)
    for split, lines in lists.items():
        ledger.write(f"{root}/{split}list01.txt", ("\n".join(lines) + "\n").encode())
    index = [f"{k} {name}" for k, name in enumerate(MOTIONS, start=1)]
    ledger.write(f"{root}/classInd.txt", ("\n".join(index) + "\n").encode())
