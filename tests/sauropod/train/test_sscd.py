"""SSCD through the shared loop: batches, resuming, and that it learns to tell copies."""

import dataclasses
import io as std_io
import shutil
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from sauropod import io, schema
from sauropod.dedup.descriptors import normalise
from sauropod.errors import InputError
from sauropod.models.sscd import create
from sauropod.train import checkpoint, sscd
from sauropod.train.config import TrainSscd
from sauropod.train.data import Samples
from sauropod.train.fit import Running
from sauropod.train.sscd_augment import copied

KNOBS = TrainSscd(
    arch="resnet18",
    width=8,
    dim=16,
    resolution=32,
    steps=3,
    batch_size=8,
    entropy_weight=2.0,
    lr=3e-3,
    warmup_steps=5,
    precision="fp32",
    crop_scale=(0.5, 1.0),
)


def scene(key: int) -> np.ndarray:
    rng = np.random.Generator(np.random.Philox(key=key))
    return cv2.resize(rng.integers(0, 256, (4, 4, 3), np.uint8), (40, 36))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = []
    with io.TarWriter(tmp_path / "s.tar") as tar:
        for i in range(24):
            buffer = std_io.BytesIO()
            Image.fromarray(scene(i)).save(buffer, "PNG")
            offset = tar.add(f"{i}.png", buffer.getvalue())
            row = {"image_id": i, "status": "ok", "tar": str(tmp_path / "s.tar")}
            rows.append(row | {"offset": offset, "num_bytes": len(buffer.getvalue())})
    rows.append({"image_id": 99, "status": "unsafe"})
    frame = pl.DataFrame(rows, schema=dict(schema.IMAGES.columns))
    schema.write(frame, tmp_path / "s.parquet", schema.IMAGES, made_by={})
    return tmp_path / "s.parquet"


def running(**given: object) -> Running:
    return Running(device=torch.device("cpu"), **given)


def test_rows_with_status_ok(table: Path, tmp_path: Path) -> None:
    rows = sscd.read_rows([table])
    assert rows.image_id.tolist() == list(range(24))
    empty = tmp_path / "e.parquet"
    schema.write(pl.DataFrame(schema=dict(schema.IMAGES.columns)), empty, schema.IMAGES, made_by={})
    with pytest.raises(InputError, match="expected images to train on, found 0"):
        sscd.read_rows([empty])


def test_a_step_is_a_function_of_the_step(table: Path) -> None:
    rows = sscd.read_rows([table])
    pairs = [sscd.CopyPairs(Samples(rows, seed=0, cache=c), knobs=KNOBS) for c in (False, True)]
    pairs[0](0)  # another history
    a, b = pairs[0](2), pairs[1](2)
    assert torch.equal(a.parts[0].pixels, b.parts[0].pixels)
    assert a.parts[0].pixels.shape == (16, 32, 32, 3)
    own = a.parts[0].sources[:, 0]
    assert torch.equal(own[::2], own[1::2])
    assert len(set(own.tolist())) == 8  # an epoch is 24 images: none twice in a step


def test_copies_are_mixed_by_the_knob(table: Path) -> None:
    rows = sscd.read_rows([table])
    samples = Samples(rows, seed=0, cache=True)
    plain, some, every = (
        sscd.CopyPairs(samples, knobs=dataclasses.replace(KNOBS, mix_share=share))(0).parts[0]
        for share in (0.0, 0.3, 1.0)
    )
    assert torch.equal(plain.sources[:, 0], plain.sources[:, 1])
    held = (some.sources[:, 0] != some.sources[:, 1], every.sources[:, 0] != every.sources[:, 1])
    assert 0 < held[0].sum() < held[1].sum()
    changed = (some.pixels != plain.pixels).flatten(1).any(dim=1)
    assert torch.equal(changed, held[0])


def test_resumed_equals_uninterrupted(table: Path, tmp_path: Path) -> None:
    rows = sscd.read_rows([table])
    whole, fitted = sscd.train(rows, knobs=KNOBS, running=running())
    assert fitted.log.rows[-1]["step"] == 3
    assert {"loss/info_nce", "loss/entropy", "lr"} <= fitted.log.rows[-1].keys()
    folder = tmp_path / "ck"
    sscd.train(rows, knobs=KNOBS, running=running(checkpoints=folder, checkpoint_every=2))
    shutil.rmtree(checkpoint.path_of(folder, 3))
    again, _ = sscd.train(rows, knobs=KNOBS, running=running(checkpoints=folder))
    for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_one_image_per_step_has_no_negatives(table: Path) -> None:
    knobs = TrainSscd(batch_size=1)
    with pytest.raises(InputError, match="two images per step"):
        sscd.train(sscd.read_rows([table]), knobs=knobs, running=running())


def test_learns_to_tell_copies_from_other_images(table: Path) -> None:
    knobs = dataclasses.replace(
        KNOBS,
        steps=60,
        batch_size=24,
        entropy_weight=1.0,
        crop_scale=(0.8, 1.0),
        jitter=(0.1, 0.1, 0.1, 0.02),
        text_share=0.0,
        sticker_share=0.0,
        rotate_share=0.0,
        jpeg_share=0.0,
    )
    model, _ = sscd.train(sscd.read_rows([table]), knobs=knobs, running=running(), cache=True)
    views = [
        copied(scene(i), np.random.Generator(np.random.Philox(key=1000 + 2 * i + c)), knobs=knobs)
        for i in range(24)
        for c in range(2)
    ]
    with torch.no_grad():
        found = model(normalise(torch.from_numpy(np.stack(views))))
    similarity = found[::2] @ found[1::2].t()
    found_again = (similarity.argmax(dim=1) == torch.arange(24)).float().mean()
    untrained = create(model.arch, seed=0).eval()
    with torch.no_grad():
        found = untrained(normalise(torch.from_numpy(np.stack(views))))
    at_first = (found[::2] @ found[1::2].t()).argmax(dim=1) == torch.arange(24)
    assert found_again > at_first.float().mean()
