"""Write rendered images and keep the book of what each one is: the truth of the demo world."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from sauropod import schema
from sauropod.demo.copies import Encoded, encode
from sauropod.demo.scenes import Shot

NO_FACES = np.zeros((0, 4), dtype=np.float32)


def encoded(shot: Shot, *, quality: int = 90) -> Encoded:
    """Encode a rendered scene as JPEG."""
    return encode(Image.fromarray(shot.rendered.pixels), shot.faces, quality=quality)


class Ledger:
    """Writes files below a folder and remembers one truth row per image."""

    def __init__(self, root: Path) -> None:
        """Start an empty book for the world below `root`."""
        self.root = root
        self.rows: list[dict[str, Any]] = []
        self._folders: set[Path] = set()

    def write(self, path: str, data: bytes) -> None:
        """Write a file below the root; its folders are made."""
        target = self.root / path
        if target.parent not in self._folders:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(target.parent)
        target.write_bytes(data)

    def note(
        self, name: str, file: Encoded | None, *, role: str, kind: str = "original", **facts: str
    ) -> None:
        """Remember an image.

        Args:
            name: Its URL, or its path below the root.
            file: The bytes as served and the faces in them; None when there are none.
            role: pool, curated, benchmark or detector.
            kind: What it is to the others, see the table TRUTH.
            facts: Other text columns: dataset, split, label, parent, transform, status.
        """
        faces = NO_FACES if file is None else file.faces
        row: dict[str, Any] = {
            "dataset": "",
            "split": "",
            "label": "",
            "parent": "",
            "transform": "",
            **facts,
        }
        row["status"] = facts.get("status", "ok")
        row["sha256"] = None if file is None else hashlib.sha256(file.data).hexdigest()
        row["num_faces"] = len(faces)
        sides = ("left", "top", "width", "height")
        row["faces"] = [dict(zip(sides, map(float, face), strict=True)) for face in faces]
        self.rows.append({"name": name, "role": role, "kind": kind, **row})

    def image(self, path: str, file: Encoded, *, role: str, **facts: str) -> None:
        """Write an image file and remember it under its path."""
        self.write(path, file.data)
        self.note(path, file, role=role, **facts)

    def table(self) -> pl.DataFrame:
        """Return the table TRUTH, sorted by name."""
        return pl.DataFrame(self.rows, schema=dict(schema.TRUTH.columns)).sort("name")
