"""The moving average, by hand."""

import pytest
import torch
from torch import nn

from sauropod.train.ema import update_ema


def test_by_hand() -> None:
    average, source = nn.Linear(1, 1), nn.Linear(1, 1)
    with torch.no_grad():
        for module, value in ((average, 10.0), (source, 20.0)):
            for parameter in module.parameters():
                parameter.fill_(value)
    update_ema(average, source=source, momentum=0.9)
    assert [p.item() for p in average.parameters()] == pytest.approx([11.0, 11.0])
    assert [p.item() for p in source.parameters()] == [20.0, 20.0]
    update_ema(average, source=source, momentum=1.0)
    assert average.weight.detach().item() == pytest.approx(11.0)
    with pytest.raises(AssertionError, match="differ"):
        update_ema(average, source=nn.Linear(1, 1, bias=False), momentum=0.5)
