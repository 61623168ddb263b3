"""The training log: one Parquet row every few steps, kept beside the checkpoints.

Columns: `step` (done), `images_per_s` (all ranks), `wait_share` (of the time spent waiting for
data), `replaced` and `skipped` (totals so far), then the mean since the row before of `loss`, every
`loss/<name>`, `grad_norm/<sub-module>` and diagnostic, and the schedules' values at the step.
"""

import time
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from sauropod import io

NAME = "log.parquet"


class Log:
    """Rows of one run; sums stay on the device between rows."""

    def __init__(self, rows: list[dict[str, float]] | None = None) -> None:
        """Continue after `rows`."""
        self.rows = rows or []
        self._clear()

    @classmethod
    def resumed(cls, folder: Path | None, *, step: int) -> "Log":
        """Rows up to `step` of the log that lies beside the checkpoints."""
        if folder is None or not (folder / NAME).is_file():
            return cls()
        return cls(pl.read_parquet(folder / NAME).filter(pl.col("step") <= step).to_dicts())

    def _clear(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._images, self._waited, self._began = 0, 0.0, time.monotonic()

    def add(self, scalars: dict[str, Tensor], *, num_images: int, waited: float) -> None:
        """Take in one step: scalars on any device, images of all ranks, seconds waited for data."""
        for name, value in scalars.items():
            known = self._sums.get(name)
            self._sums[name] = value.detach() if known is None else known + value.detach()
            self._counts[name] = self._counts.get(name, 0) + 1
        self._images += num_images
        self._waited += waited

    def close_row(self, step: int, values: dict[str, float]) -> None:
        """End a row after `step` steps; `values` are columns as they are."""
        seconds = time.monotonic() - self._began
        names = list(self._sums)
        means = torch.stack([self._sums[name].float() for name in names]).tolist() if names else []
        row: dict[str, float] = {
            "step": step,
            "images_per_s": self._images / seconds,
            "wait_share": self._waited / seconds,
            **values,
        }
        row |= {name: mean / self._counts[name] for name, mean in zip(names, means, strict=True)}
        self.rows.append(row)
        self._clear()

    def frame(self) -> pl.DataFrame:
        """All rows; a column that a row lacks is null there."""
        return pl.DataFrame(self.rows, infer_schema_length=None)

    def save(self, path: Path) -> None:
        """Write all rows as Parquet, atomically."""
        with io.replacing(path) as temporary:
            self.frame().write_parquet(temporary)
