import dataclasses

import numpy as np
import pytest
import torch

from sauropod.evaluate.dense import depth
from sauropod.evaluate.dense.config import Depth
from sauropod.evaluate.dense.depth_sets import DepthSet, Protocol
from sauropod.evaluate.dense.patch_maps import Mapper, PatchMap, colour_mapper

KNOBS = Depth(
    steps=40,
    batch_size=2,
    lr=0.03,
    dpt_lr=0.03,
    warmup_steps=10,
    loss_warmup_steps=5,
    num_bins=64,
    channels=8,
)
FLOOR = colour_mapper(patch_size=4, num_layers=4)


def _values(
    dataset: DepthSet, knobs: Depth = KNOBS, *, threads: int = 1, **settings: object
) -> dict:
    rows, _ = depth.measure(
        FLOOR,
        dataset=dataset,
        knobs=knobs,
        num_threads=threads,
        device="cpu",
        **settings,  # type: ignore[arg-type]
    )
    return {row.metric: (row.value, row.num_samples) for row in rows}


def test_heads_beat_the_constant_and_repeat_to_the_last_digit(slopes: DepthSet) -> None:
    found = _values(slopes)
    rows = depth.constant(slopes, heads=("linear1",), num_threads=1)
    constant = {row.metric: row.value for row in rows}
    for head in ("linear1", "linear4", "dpt"):
        assert found[f"{head}_rmse"][0] < constant["linear1_rmse"]
    assert found["unusable_train"] == (0, 6)
    assert found["unusable_test"] == (0, 3)
    assert found == _values(slopes, threads=3)


def test_a_head_is_the_same_alone_or_beside_others(slopes: DepthSet) -> None:
    knobs = dataclasses.replace(KNOBS, steps=4)
    together = _values(slopes, knobs)
    for head in ("linear1", "dpt"):
        alone = _values(slopes, dataclasses.replace(knobs, heads=(head,)))
        assert alone[f"{head}_rmse"] == together[f"{head}_rmse"]
        assert "linear4_rmse" not in alone


def test_transfer_measures_another_set_with_the_same_heads(slopes: DepthSet) -> None:
    near = dataclasses.replace(slopes.protocol, ceiling=2.0, test_size=(12, 16))
    other = DepthSet(near, (), slopes.test[:2])
    found = _values(slopes, dataclasses.replace(KNOBS, steps=4), transfers={"sun": other})
    assert found["sun_linear1_rmse"][1] == 2
    assert found["unusable_sun_test"] == (0, 2)
    assert found["sun_linear1_rmse"][0] <= 1  # both cut to 2 m, and nothing is nearer than 1 m


def test_schedule_by_hand() -> None:
    knobs = Depth(steps=100, warmup_steps=10)
    assert depth.cosine_lr(0, base=2.0, knobs=knobs) == pytest.approx(2e-3)
    assert depth.cosine_lr(50, base=2.0, knobs=knobs) == pytest.approx(1.0)
    assert depth.cosine_lr(100, base=2.0, knobs=knobs) == pytest.approx(2e-8)
    half = 0.5 * (1 + np.cos(np.pi * 0.05))
    assert depth.cosine_lr(5, base=2.0, knobs=knobs) == pytest.approx(2 * half * (1 - 0.5 * 0.999))


class _Ramp(torch.nn.Module):
    """Says the brightness of every patch, in metres."""

    def forward(self, maps: list[PatchMap]) -> torch.Tensor:
        return maps[0].patches[:, 0]


def test_predictions_are_clipped_resized_and_averaged_with_the_mirror_image() -> None:
    def forward(images: torch.Tensor) -> list[PatchMap]:
        column = torch.arange(images.shape[3] // 4, dtype=torch.float32)  # knows left from right
        patches = column.expand(1, 1, images.shape[2] // 4, -1) * 4
        return [PatchMap(patches, patches.mean(dim=(2, 3)))]

    mapper = Mapper(forward, patch_size=4, width=1, num_layers=1)
    protocol = Protocol(1000, 10, "whole", (16, 24))
    found = depth.predict(
        {"ramp": _Ramp()},  # type: ignore[dict-item]
        mapper,
        np.zeros((8, 16, 3), np.uint8),
        protocol=protocol,
        flip=False,
        device="cpu",
    )["ramp"]
    assert found.shape == (8, 16)
    assert found.min() == np.float32(1e-3)  # column 0 says 0
    assert found.max() == 10  # column 3 says 12
    both = depth.predict(
        {"ramp": _Ramp()},  # type: ignore[dict-item]
        mapper,
        np.zeros((8, 16, 3), np.uint8),
        protocol=protocol,
        flip=True,
        device="cpu",
    )["ramp"]
    assert np.allclose(both, (found + found[:, ::-1]) / 2)


def test_maps_that_cannot_be_used_are_counted(slopes: DepthSet) -> None:
    slopes.train[0].truth.unlink()
    np.save(slopes.test[0].truth.with_suffix(".npy"), np.full((24, 32), np.nan))
    slopes.test[0].truth.write_bytes(slopes.test[0].truth.with_suffix(".npy").read_bytes())
    found = _values(slopes, dataclasses.replace(KNOBS, steps=4, heads=("linear1",)))
    assert found["unusable_train"] == (1, 6)
    assert found["unusable_test"] == (1, 3)
    assert found["linear1_rmse"][1] == 2
