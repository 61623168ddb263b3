"""Golden numbers for the tests below."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, Tensor]]:
    """`golden(name)` reads tests/golden/<name>.npz as tensors by key (text arrays left out)."""

    def read(name: str) -> dict[str, Tensor]:
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            return {k: torch.from_numpy(v) for k in arrays if (v := arrays[k]).dtype.kind != "U"}

    return read


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """The folder of golden files."""
    return GOLDEN
