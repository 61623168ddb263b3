import numpy as np
import torch
from torch.nn import functional as F

from sauropod.evaluate.features import Features
from sauropod.evaluate.linear import (
    INIT_STD,
    Head,
    Recipe,
    batches,
    best,
    head_features,
    probe,
    train_heads,
)

RECIPE = Recipe(learning_rates=(0.5, 0.02), num_blocks=(1, 2), steps=40, batch_size=32)


def _features(seed: int, *, num: int = 96, width: int = 5, classes: int = 3) -> Features:
    generator = torch.Generator().manual_seed(7)
    centres = 3 * torch.randn(classes, width, generator=generator)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num) % classes
    last = centres[labels] + torch.randn(num, width, generator=generator)
    noise = torch.randn(num, width, generator=generator)
    return Features(torch.stack([noise, last], 1), last * 0.5, labels, {})


def test_head_features_concatenate_the_last_blocks() -> None:
    features = _features(0)
    one = head_features(features, num_blocks=1, avgpool=False)
    assert torch.equal(one, features.cls[:, 1])
    both = head_features(features, num_blocks=2, avgpool=True)
    expected = torch.cat([features.cls[:, 0], features.cls[:, 1], features.patch_mean], 1)
    assert torch.equal(both, expected)


def test_every_head_equals_one_trained_alone_by_torch() -> None:
    features = _features(1)
    x, y = features.cls[:, 1].contiguous(), features.labels
    weight, bias = train_heads(x, labels=y, num_classes=3, recipe=RECIPE, seed=3)
    start = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(3)) * INIT_STD
    for head, rate in enumerate(RECIPE.learning_rates):
        layer = torch.nn.Linear(5, 3)
        with torch.no_grad():
            layer.weight.copy_(start[head])
            layer.bias.zero_()
        optimizer = torch.optim.SGD(layer.parameters(), lr=rate * 32 / 256, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, RECIPE.steps)
        for index in batches(len(x), batch_size=32, steps=RECIPE.steps, seed=3):
            optimizer.zero_grad()
            F.cross_entropy(layer(x[index]), y[index]).backward()
            optimizer.step()
            schedule.step()
        np.testing.assert_allclose(weight[head].numpy(), layer.weight.detach().numpy(), atol=1e-5)
        np.testing.assert_allclose(bias[head].numpy(), layer.bias.detach().numpy(), atol=1e-5)


def test_batches_visit_every_image_once_per_pass() -> None:
    seen = torch.cat(list(batches(10, batch_size=4, steps=5, seed=0)))
    for start in (0, 10):
        assert sorted(seen[start : start + 10].tolist()) == list(range(10))
    assert not torch.equal(seen[:10], seen[10:])
    assert len(next(batches(3, batch_size=8, steps=1, seed=0))) == 8


def test_probe_trains_the_whole_grid_and_repeats_exactly() -> None:
    train, val = _features(1), _features(2)
    heads = probe(train, val=val, num_classes=3, recipe=RECIPE, seed=0, device="cpu")
    assert len(heads) == 2 * 2 * 2
    assert best(heads).top1 > 0.9
    assert heads == probe(train, val=val, num_classes=3, recipe=RECIPE, seed=0, device="cpu")


def test_best_is_the_first_among_equals() -> None:
    heads = [
        Head(0.1, 1, False, 0.5, 1.0),
        Head(0.2, 1, False, 0.7, 1.0),
        Head(0.3, 4, True, 0.7, 1.0),
    ]
    assert best(heads) is heads[1]
