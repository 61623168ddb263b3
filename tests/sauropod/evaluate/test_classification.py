from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sauropod.config import Evaluate
from sauropod.evaluate.classification import Measured, chance, measure, metrics_frame
from sauropod.evaluate.colour import colour_extractor
from sauropod.evaluate.datasets import ImageFolder, Split
from sauropod.evaluate.features import Extractor

COLOURS = ((220, 30, 30), (30, 220, 30), (30, 30, 220), (220, 220, 30), (30, 220, 220), (9, 9, 9))
KNOBS = Evaluate(neighbours=(1, 5), learning_rates=(0.1, 1.0), steps=30, batch_size=16)


def _dataset(folder: Path, *, per_class: int = 4) -> ImageFolder:
    random = np.random.Generator(np.random.Philox(key=5))
    splits = []
    for name in ("train", "val"):
        paths, labels = [], []
        for label, colour in enumerate(COLOURS):
            for i in range(per_class):
                pixels = np.clip(random.normal(colour, 12, (8, 8, 3)), 0, 255).astype(np.uint8)
                paths.append(folder / f"{name}-{label}-{i}.png")
                Image.fromarray(pixels).save(paths[-1])
                labels.append(label)
        splits.append(Split(tuple(paths), np.asarray(labels)))
    return ImageFolder(tuple("abcdef"), *splits)


def _measure(dataset: ImageFolder, extractor: Extractor) -> dict[str, Measured]:
    rows = measure(
        extractor,
        dataset=dataset,
        num_blocks=(1,),
        knobs=KNOBS,
        batch_size=7,
        num_threads=1,
        device="cpu",
    )
    return {row.metric: row for row in rows}


def test_colour_separates_colours_and_repeats_exactly(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path)
    found = _measure(dataset, colour_extractor())
    assert set(found) == {
        "knn1_top1",
        "knn1_top5",
        "knn5_top1",
        "knn5_top5",
        "linear_top1",
        "linear_top5",
        "linear_best_learning_rate",
        "linear_best_num_blocks",
        "linear_best_avgpool",
        "unreadable_train",
        "unreadable_val",
    }
    assert found["knn5_top1"].value == pytest.approx(1.0)
    assert found["linear_top1"].value == pytest.approx(1.0)
    assert found["linear_top1"].num_samples == 24
    assert found["unreadable_val"].value == 0.0
    again = _measure(dataset, colour_extractor())
    assert {m: row.value for m, row in found.items()} == {m: row.value for m, row in again.items()}


def test_unreadable_images_are_counted(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path)
    dataset.train.paths[0].write_bytes(b"broken")
    found = _measure(dataset, colour_extractor())
    assert (found["unreadable_train"].value, found["unreadable_train"].num_samples) == (1.0, 24)
    assert found["unreadable_val"].value == 0.0


def test_features_without_information_score_as_chance(tmp_path: Path) -> None:
    def blind(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ones(len(batch), 1, 4), torch.ones(len(batch), 4)

    found = _measure(_dataset(tmp_path), colour_extractor()._replace(forward=blind))
    assert found["knn5_top1"].value == pytest.approx(1 / 6)
    assert found["linear_top1"].value == pytest.approx(1 / 6)


def test_chance_is_the_share_of_the_most_frequent_training_class() -> None:
    train = Split((Path("x"),) * 5, np.array([0, 1, 1, 1, 2]))
    val = Split((Path("x"),) * 4, np.array([0, 1, 2, 2]))
    rows = chance(ImageFolder(("a", "b", "c"), train, val))
    assert [row.value for row in rows] == [0.25, 0.25]


def test_metrics_frame_is_a_metrics_table() -> None:
    frame = metrics_frame([Measured("m", 0.5, 3, 1.0)], model="a", benchmark="b", commit="c")
    assert frame.row(0) == ("a", "b", "m", 0.5, 3, 1.0, "c")
