"""Exponential moving average of parameters, in place."""

import torch
from torch import nn


@torch.no_grad()
def update_ema(average: nn.Module, *, source: nn.Module, momentum: float) -> None:
    """Set every parameter of `average` to momentum * average + (1 - momentum) * source.

    Args:
        average: Module of the same parameter names and shapes as `source`.
        source: Module that is being trained.
        momentum: Share of the old average that stays, in [0, 1].
    """
    ours, theirs = dict(average.named_parameters()), dict(source.named_parameters())
    assert ours.keys() == theirs.keys(), "average and source differ in parameters"
    sources = [theirs[name] for name in ours]
    torch._foreach_lerp_(list(ours.values()), sources, 1 - momentum)  # pyright: ignore
