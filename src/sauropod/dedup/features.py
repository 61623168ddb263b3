"""What the PCA hash is computed of: descriptors as they are, or pixels read from the tars."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sauropod import schema
from sauropod.dedup.pca_hash import pixel_shard
from sauropod.errors import InputError
from sauropod.retrieve.vectors import StoredVectors

NORM_SLACK = 0.01
"""How far the length of a normalised vector may be from 1; float16 takes less than a tenth."""


@dataclass(frozen=True)
class Features:
    """The files of one kind of feature: tables DESCRIPTORS ("descriptor") or IMAGES ("pixels")."""

    paths: Sequence[Path]
    kind: str

    def __post_init__(self) -> None:
        """Check every file before any is computed on.

        Raises:
            InputError: no file of the kind the knob asks for, or one with a wrong schema.
        """
        table = schema.IMAGES if self.kind == "pixels" else schema.DESCRIPTORS
        flag = "--images" if self.kind == "pixels" else "--descriptors"
        if not self.paths:
            where = f"features {self.kind}"
            fix = f"name them with {flag}"
            raise InputError(where, expected=f"tables {table.name}", found="none", fix=fix)
        for path in self.paths:
            schema.check(path, table)

    def shard(self, path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
        """Ids (n,) uint64 ascending, features (n, d) float16, rows dropped by reason."""
        if self.kind == "pixels":
            return pixel_shard(schema.read(path, schema.IMAGES).sort("image_id"))
        ids, vectors = StoredVectors([path], schema.DESCRIPTORS).shard(path)
        good = _normalised(vectors)
        bad = len(good) - int(good.sum())
        return ids[good], vectors[good], {"bad_descriptor": bad} if bad else {}

    def arrays(self) -> Iterator[np.ndarray]:
        """Yield the features of every file that has any."""
        for path in self.paths:
            _, features, _ = self.shard(path)
            if len(features):
                yield features


def _normalised(vectors: np.ndarray) -> np.ndarray:
    """Which of (n, d) vectors are of length 1: neither zero nor NaN nor infinite, (n,) bool."""
    lengths = torch.linalg.vector_norm(torch.tensor(vectors), dim=1, dtype=torch.float32)
    return (lengths - 1).abs().numpy() < NORM_SLACK
