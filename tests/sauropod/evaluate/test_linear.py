import numpy as np
import torch
from torch.nn import functional as F

from sauropod.evaluate.features import Features
from sauropod.evaluate.linear import (
    INIT_STD,
    Head,
    Read,
    Recipe,
    best,
    cached,
    fit,
    gathered,
    permutations,
)

RECIPE = Recipe(learning_rates=(0.5, 0.02), num_blocks=(1, 2), steps=40, batch_size=32)


def _features(
    seed: int, *, num: int = 96, width: int = 5, classes: int = 3
) -> tuple[Features, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    centres = 3 * torch.randn(classes, width, generator=generator)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num) % classes
    last = centres[labels] + torch.randn(num, width, generator=generator)
    noise = torch.randn(num, width, generator=generator)
    cls = torch.stack([noise, last], 1)
    return Features(cls, last * 0.5, torch.arange(num), {}), labels


def _fit(seed: int, targets: torch.Tensor | None = None) -> list[Head]:
    features, labels = _features(1)
    targets = labels if targets is None else targets
    batches = cached(features, targets=targets, recipe=RECIPE, seed=seed)
    return fit(batches, widths=(5, 5), num_classes=3, recipe=RECIPE, seed=seed)


def test_heads_read_the_last_blocks() -> None:
    cls, patch_mean = torch.randn(4, 3, 5), torch.randn(4, 5)
    one = gathered(cls, patch_mean, reads=Read(1, avgpool=False))
    assert torch.equal(one, cls[:, 2])
    both = gathered(cls, patch_mean, reads=Read(2, avgpool=True))
    assert torch.equal(both, torch.cat([cls[:, 1], cls[:, 2], patch_mean], 1))


def _alone(head: Head, targets: torch.Tensor) -> torch.nn.Linear:
    """The same head trained by torch's own loss, optimiser and schedule."""
    features, _ = _features(1)
    x = gathered(features.cls, features.patch_mean, reads=head.reads)
    row = RECIPE.learning_rates.index(head.learning_rate)
    start = torch.randn(2, 3, x.shape[1], generator=torch.Generator().manual_seed(3)) * INIT_STD
    layer = torch.nn.Linear(x.shape[1], 3)
    with torch.no_grad():
        layer.weight.copy_(start[row])
        layer.bias.zero_()
    rate = head.learning_rate * 32 / 256
    optimizer = torch.optim.SGD(layer.parameters(), lr=rate, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, RECIPE.steps)
    loss = F.cross_entropy if targets.ndim == 1 else F.binary_cross_entropy_with_logits
    for index in permutations(len(x), batch_size=32, steps=RECIPE.steps, seed=3):
        optimizer.zero_grad()
        loss(layer(x[index]), targets[index]).backward()
        optimizer.step()
        schedule.step()
    return layer


def test_every_head_equals_one_trained_alone_by_torch() -> None:
    heads = _fit(3)
    assert [head.reads for head in heads[::2]] == RECIPE.reads
    for head in heads:
        layer = _alone(head, _features(1)[1])
        np.testing.assert_allclose(head.weight.numpy(), layer.weight.detach().numpy(), atol=1e-5)
        np.testing.assert_allclose(head.bias.numpy(), layer.bias.detach().numpy(), atol=1e-5)


def test_several_classes_per_image_are_binary_cross_entropies() -> None:
    generator = torch.Generator().manual_seed(4)
    targets = (torch.rand(96, 3, generator=generator) < 0.4).float()
    for head in _fit(3, targets):
        layer = _alone(head, targets)
        np.testing.assert_allclose(head.weight.numpy(), layer.weight.detach().numpy(), atol=1e-5)


def test_permutations_visit_every_image_once_per_pass() -> None:
    seen = torch.cat(list(permutations(10, batch_size=4, steps=5, seed=0)))
    for start in (0, 10):
        assert sorted(seen[start : start + 10].tolist()) == list(range(10))
    assert not torch.equal(seen[:10], seen[10:])
    assert len(next(permutations(3, batch_size=8, steps=1, seed=0))) == 8


def test_the_grid_learns_and_repeats_exactly() -> None:
    heads, again = _fit(0), _fit(0)
    assert len(heads) == 2 * 2 * 2
    features, labels = _features(2)
    shares = [(head.scores(features).argmax(1) == labels).float().mean().item() for head in heads]
    assert shares[best(shares)] > 0.9
    pairs = zip(heads, again, strict=True)
    assert all(torch.equal(one.weight, other.weight) for one, other in pairs)


def test_scores_do_not_depend_on_the_chunk() -> None:
    features, _ = _features(2)
    head = _fit(0)[-1]
    np.testing.assert_allclose(head.scores(features, chunk=7), head.scores(features), atol=1e-6)


def test_best_is_the_first_among_equals() -> None:
    assert best([0.5, 0.7, 0.7]) == 1
