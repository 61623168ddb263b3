"""From a labelled set to its rows, through features."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sauropod.evaluate.classification import chance, few, measure
from sauropod.evaluate.colour import colour_extractor
from sauropod.evaluate.config import Evaluate
from sauropod.evaluate.datasets.dataset import Dataset, Split
from sauropod.evaluate.features import Extractor, extract
from sauropod.evaluate.measured import Measured

COLOURS = ((220, 30, 30), (30, 220, 30), (30, 30, 220), (220, 220, 30), (30, 220, 220), (9, 9, 9))
KNOBS = Evaluate(neighbours=(1, 5), learning_rates=(0.1, 1.0), steps=30, batch_size=16)


def _dataset(folder: Path, *, per_class: int = 4) -> Dataset:
    random = np.random.Generator(np.random.Philox(key=5))
    splits = {}
    for name in ("train", "test"):
        paths, labels = [], []
        for label, colour in enumerate(COLOURS):
            for i in range(per_class):
                pixels = np.clip(random.normal(colour, 12, (8, 8, 3)), 0, 255).astype(np.uint8)
                paths.append(folder / f"{name}-{label}-{i}.png")
                Image.fromarray(pixels).save(paths[-1])
                labels.append(label)
        splits[name] = Split(tuple(paths), np.asarray(labels))
    return Dataset(tuple("abcdef"), splits)


def _measure(dataset: Dataset, extractor: Extractor) -> dict[str, Measured]:
    settings = {"batch_size": 7, "num_threads": 1, "device": "cpu", "label": "x"}
    features = {name: extract(extractor, split=s, **settings) for name, s in dataset.splits.items()}
    rows, _ = measure(features, dataset=dataset, knobs=KNOBS, device="cpu")
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
        "unreadable_test",
    }
    assert found["knn5_top1"].value == 1.0
    assert found["linear_top1"].value == 1.0
    assert found["linear_top1"].num_samples == 24
    assert found["unreadable_test"].value == 0.0
    again = _measure(dataset, colour_extractor())
    assert {m: row.value for m, row in found.items()} == {m: row.value for m, row in again.items()}


def test_unreadable_images_are_counted(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path)
    Path(str(dataset.splits["train"].images[0])).write_bytes(b"broken")
    found = _measure(dataset, colour_extractor())
    assert (found["unreadable_train"].value, found["unreadable_train"].num_samples) == (1.0, 24)
    assert found["unreadable_test"].value == 0.0


def test_features_without_information_score_as_chance(tmp_path: Path) -> None:
    def blind(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ones(len(batch), 1, 4), torch.ones(len(batch), 4)

    found = _measure(_dataset(tmp_path), colour_extractor()._replace(forward=blind))
    np.testing.assert_allclose(found["knn5_top1"].value, 1 / 6)
    np.testing.assert_allclose(found["linear_top1"].value, 1 / 6)


def test_chance_is_the_share_of_the_most_frequent_training_class() -> None:
    train = Split((Path("x"),) * 5, np.array([0, 1, 1, 1, 2]))
    test = Split((Path("x"),) * 4, np.array([0, 1, 2, 2]))
    rows = chance(Dataset(("a", "b", "c"), {"train": train, "test": test}))
    assert [row.value for row in rows] == [0.25, 0.25]


def _separable(folder: Path, protocols: tuple, **groups: object) -> dict[str, Measured]:
    dataset = _dataset(folder)
    told = {"fact": np.array(["x", "y"] * 12)} if groups else {}
    splits = {name: Split(s.images, s.labels, told) for name, s in dataset.splits.items()}
    dataset = Dataset(dataset.classes, splits, metric="mean_per_class")
    settings = {"batch_size": 7, "num_threads": 1, "device": "cpu", "label": "x"}
    features = {n: extract(colour_extractor(), split=s, **settings) for n, s in splits.items()}
    knobs = Evaluate(
        protocols=protocols, neighbours=(3,), c_min=-2, c_max=2, c_count=3, shots=(1, 3), tries=2
    )
    rows, head = measure(features, dataset=dataset, knobs=knobs, device="cpu")
    assert head is None
    return {row.metric: row for row in rows}


def test_logistic_regression_by_the_sets_metric_and_by_group(tmp_path: Path) -> None:
    found = _separable(tmp_path, ("logreg",), groups=True)
    assert found["logreg_mean_per_class"].value == 1.0
    assert found["logreg_best_c"].value in (0.01, 1.0, 100.0)
    assert found["logreg_top1@fact=x"].num_samples == 12


def test_few_shots_are_drawn_per_class(tmp_path: Path) -> None:
    found = _separable(tmp_path, ("fewshot",))
    assert found["fewshot1_mean_per_class"].value > 0.8
    labels = torch.tensor([0] * 9 + [1] * 5 + [2])
    chosen = few(labels, shots=3, seed=1)
    assert labels[chosen].bincount().tolist() == [3, 3, 1]
    assert not torch.equal(chosen, few(labels, shots=3, seed=2))
