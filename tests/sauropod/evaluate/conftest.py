"""What tests of retrieval share: photos that are only names, and features that are known."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from sauropod.evaluate.datasets.dataset import Readable
from sauropod.evaluate.photos import Cropped, Embed, Embedded


@pytest.fixture
def touch() -> Callable[..., Path]:
    """`touch(root, *names)` makes empty files that stand for photos, and returns the root."""

    def make(root: Path, *names: str) -> Path:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        return root

    return make


@pytest.fixture
def embed_by() -> Callable[..., Embed]:
    """`embed_by(features)` says of photos what a dict by file name (or stem) does; None: broken."""

    def make(features: dict[str, np.ndarray | None]) -> Embed:
        def embed(photos: Sequence[Readable]) -> Embedded:
            paths = [one.path if isinstance(one, Cropped) else one for one in photos]
            assert all(isinstance(path, Path) for path in paths)
            vectors = [features[path.name] for path in paths]
            kept = [i for i, vector in enumerate(vectors) if vector is not None]
            rows = np.stack([np.asarray(vectors[i], np.float32) for i in kept])
            unit = torch.nn.functional.normalize(torch.from_numpy(rows), dim=1)
            return Embedded(unit, np.asarray(kept), len(vectors))

        return embed

    return make
