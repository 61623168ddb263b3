"""What the PCA hash is computed of: descriptors as they are, or pixels read from the tars."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sauropod import schema
from sauropod.dedup.pca_hash import pixel_shard
from sauropod.errors import InputError
from sauropod.retrieve.vectors import StoredVectors, is_unit


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
        """Ids (n,) uint64 ascending, features (n, d) float16, rows dropped by reason.

        Raises:
            InputError: an image has two rows.
        """
        if self.kind == "pixels":
            found = pixel_shard(schema.read(path, schema.IMAGES).sort("image_id"))
        else:
            ids, vectors = StoredVectors([path], schema.DESCRIPTORS).shard(path)
            good = is_unit(vectors)
            bad = len(good) - int(good.sum())
            found = ids[good], vectors[good], {"bad_descriptor": bad} if bad else {}
        if (found[0][1:] == found[0][:-1]).any():
            fix = "make the shard again"
            raise InputError(path, expected="every image once", found="one with two rows", fix=fix)
        return found

    def arrays(self) -> Iterator[np.ndarray]:
        """Yield the features of every file that has any."""
        for path in self.paths:
            _, features, _ = self.shard(path)
            if len(features):
                yield features
