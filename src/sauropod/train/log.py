"""The training log: one Parquet row every few steps, kept in every checkpoint.

Columns: `step` (done); of the wall-clock since the row before, probes and checkpoints included,
`images_per_s` (all ranks), `seconds_per_step`, `wait_share` (waiting for data, 0..1) and `mfu`
(FLOPs of the model over the devices' peak, 0..1; null where the peak is unknown);
`peak_memory_gib` (of this rank's device since the start); the values of the step (schedules, totals
of `replaced` and `skipped`, `probe/<benchmark>`); then means of the finite values of all ranks
since the row before: `loss`, every `loss/<name>`, `grad_norm/<sub-module>` and `health/<meter>`.
"""

import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from sauropod import io
from sauropod.train import sharding

NAME = "log.parquet"
MEASURED = ("images_per_s", "seconds_per_step", "wait_share", "mfu", "peak_memory_gib")
"""Columns in which two equal runs differ."""


class Log:
    """Rows of one run. The scalars of a row wait on the device and are read once, at its end."""

    def __init__(
        self,
        rows: list[dict[str, float | None]] | None = None,
        *,
        device: torch.device | None = None,
        flops_per_image: float = 0.0,
        peak: float | None = None,
    ) -> None:
        """Continue after `rows`.

        Args:
            rows: Earlier rows of the same run.
            device: Whose memory is watched; None is the CPU.
            flops_per_image: Of a step, forward and backward, divided by its images; 0 unknown.
            peak: FLOP/s of one device in the run's precision; None unknown.
        """
        self.rows = rows or []
        self._device = device or torch.device("cpu")
        self._flops_per_image, self._peak = flops_per_image, peak
        self._clear()

    @classmethod
    def resumed(
        cls,
        folder: Path | None,
        *,
        step: int,
        device: torch.device | None = None,
        flops_per_image: float = 0.0,
        peak: float | None = None,
    ) -> "Log":
        """Continue the log of a checkpoint, from its rows up to `step`."""
        rows = []
        if folder is not None and (folder / NAME).is_file():
            rows = pl.read_parquet(folder / NAME).filter(pl.col("step") <= step).to_dicts()
        return cls(rows, device=device, flops_per_image=flops_per_image, peak=peak)

    def _clear(self) -> None:
        self._names: list[str] = []
        self._scalars: list[Tensor] = []
        self._steps, self._images, self._waited = 0, 0, 0.0
        self._began = time.monotonic()

    def add(self, scalars: Mapping[str, Tensor], *, num_images: int, waited: float) -> None:
        """Take in one step: scalars of one device, images of all ranks, seconds waited for data.

        Nothing is read from the device here. A name may be missing from some steps.
        """
        if scalars:
            self._names += scalars
            self._scalars.append(torch.stack([v.detach().float() for v in scalars.values()]))
        self._steps += 1
        self._images += num_images
        self._waited += waited

    def close_row(self, step: int, values: Mapping[str, float]) -> None:
        """End a row after `step` steps; `values` are columns as they are."""
        # The row's one wait for the device comes first: its time belongs to the row.
        means = self._means()
        seconds = time.monotonic() - self._began
        self.rows.append(
            {
                "step": step,
                "images_per_s": self._images / seconds,
                "seconds_per_step": seconds / max(1, self._steps),
                "wait_share": self._waited / seconds,
                "mfu": self._mfu(self._images / seconds),
                "peak_memory_gib": peak_memory(self._device) / 2**30,
                **values,
                **means,
            }
        )
        self._clear()

    def _means(self) -> dict[str, float | None]:
        """Mean of every scalar's finite values; None where a skipped step left no such value."""
        values = torch.cat(self._scalars) if self._scalars else torch.zeros(0)
        finite = values.isfinite()
        sums, counts = sharding.summed(torch.stack([values.where(finite, 0), finite])).tolist()
        found = dict.fromkeys(self._names, (0.0, 0.0))
        for name, value, count in zip(self._names, sums, counts, strict=True):
            total, number = found[name]
            found[name] = (total + value, number + count)
        return {name: total / number if number else None for name, (total, number) in found.items()}

    def _mfu(self, images_per_s: float) -> float | None:
        if not (self._peak and self._flops_per_image):
            return None
        return images_per_s * self._flops_per_image / (self._peak * sharding.world_size())

    def line(self) -> str:
        """The last row in one line, for whoever watches: loss, learning rate, waiting, MFU."""
        row = self.rows[-1] if self.rows else {}
        forms = {
            "loss": "loss {:.3f}",
            "lr": "lr {:.2g}",
            "wait_share": "waiting {:.0%}",
            "mfu": "MFU {:.0%}",
        }
        known = {name: row.get(name) for name in forms}
        words = [forms[name].format(value) for name, value in known.items() if value is not None]
        if skipped := row.get("skipped"):
            words.append(f"{skipped:.0f} skipped")
        return ", ".join(words)

    def frame(self) -> pl.DataFrame:
        """All rows; a column that a row lacks is null there."""
        frame = pl.DataFrame(self.rows or {"step": []}, infer_schema_length=None)
        return frame.cast({pl.Null: pl.Float64})

    def save(self, path: Path) -> None:
        """Write all rows as Parquet, atomically."""
        with io.replacing(path) as temporary:
            self.frame().write_parquet(temporary)


def peak_memory(device: torch.device) -> float:
    """Most bytes ever held by tensors on a CUDA device, or resident in this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
