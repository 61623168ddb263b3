"""src/extract.py: features of a tiny backbone, of a random one and of the floor."""

from pathlib import Path

import pytest
import torch

import extract
from sauropod.errors import InputError
from sauropod.evaluate.config import Extract
from sauropod.evaluate.datasets.read import read_dataset
from sauropod.evaluate.features import load_features

KNOBS = Extract(resize=32, crop=32, blocks=4)


def test_features_of_every_subject(tmp_path: Path, labelled: Path, tiny_backbone: Path) -> None:
    splits = read_dataset(labelled, layout="image_folder").splits
    subjects = {"colour": {}, "mine": {"backbone": tiny_backbone}}
    subjects |= {"random": {"random_like": tiny_backbone}, "again": {"backbone": tiny_backbone}}
    found = {}
    for name, flags in subjects.items():
        out = tmp_path / f"{name}.safetensors"
        extract.main(dataset=labelled, out=out, knobs=KNOBS, **flags)
        found[name] = load_features(out, splits=splits)["test"]
    assert found["mine"].cls.shape == (9, 2, 16), "a shallow backbone keeps all its blocks"
    assert found["colour"].cls.shape[:2] == (9, 1)
    assert torch.equal(found["mine"].cls, found["again"].cls)
    assert not torch.equal(found["mine"].cls, found["random"].cls)


def test_features_of_other_images_are_refused(tmp_path: Path, labelled: Path) -> None:
    out = tmp_path / "f.safetensors"
    extract.main(dataset=labelled, out=out, knobs=KNOBS)
    (labelled / "val" / "a" / "0.png").unlink()
    splits = read_dataset(labelled, layout="image_folder").splits
    with pytest.raises(InputError, match=r"the test split's images.*run extract again"):
        load_features(out, splits=splits)
    out.write_bytes(b"junk")
    with pytest.raises(InputError, match="expected features"):
        load_features(out, splits=splits)


def test_two_models_are_one_too_many(tmp_path: Path, labelled: Path, tiny_backbone: Path) -> None:
    both = {"backbone": tiny_backbone, "random_like": tiny_backbone}
    with pytest.raises(InputError, match="one model"):
        extract.main(dataset=labelled, out=tmp_path / "f.safetensors", knobs=KNOBS, **both)
