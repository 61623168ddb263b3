from pathlib import Path

import pytest
import torch

from sauropod.errors import InputError
from sauropod.evaluate.head_file import load_head, save_head
from sauropod.evaluate.linear import Head, Read


def test_a_head_comes_back_as_it_was(tmp_path: Path) -> None:
    head = Head(0.1, Read(2, avgpool=True), torch.randn(3, 12), torch.randn(3))
    save_head(head, tmp_path / "h.safetensors", classes=("a", "b", "c"), stamp={"stage": "x"})
    found, classes = load_head(tmp_path / "h.safetensors")
    assert classes == ("a", "b", "c")
    assert (found.learning_rate, found.reads) == (0.1, Read(2, avgpool=True))
    assert torch.equal(found.weight, head.weight)
    assert torch.equal(found.bias, head.bias)


def test_another_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "h.safetensors").write_bytes(b"junk")
    with pytest.raises(InputError, match="expected a linear head"):
        load_head(tmp_path / "h.safetensors")
