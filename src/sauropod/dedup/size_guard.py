"""The sizes of components, written down, and the stop before one of them swallows the pool."""

import logging
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from sauropod import schema
from sauropod.errors import InputError

log = logging.getLogger(__name__)

NEVER_TOO_LARGE = 100
"""A component of at most this many images is plausible however small the pool is."""


class SizeGuard:
    """Writes the histogram of every threshold checked, then refuses a giant component."""

    def __init__(self, path: Path, *, max_share: float, made_by: Mapping[str, str]) -> None:
        """Keep where to write (COMPONENTS) and the largest share of the images in one component."""
        self._path, self._max_share, self._made_by = path, max_share, made_by
        self._table = pl.DataFrame(schema=dict(schema.COMPONENTS.columns))

    def check(self, histogram: Mapping[int, int], *, threshold: float) -> None:
        """Write {size: components} down, and stop where a threshold is so low that all melts.

        Raises:
            InputError: a component holds more than the largest share of the images.
        """
        log.info("components above %.2f, {size: how many}: %s", threshold, dict(histogram))
        columns = [[threshold] * len(histogram), list(histogram), list(histogram.values())]
        kinds = dict(schema.COMPONENTS.columns)
        rows = pl.DataFrame(dict(zip(kinds, columns, strict=True)), schema=kinds)
        self._table = pl.concat([self._table, rows])
        schema.write(self._table, self._path, schema.COMPONENTS, made_by=self._made_by)
        images = sum(size * count for size, count in histogram.items())
        largest = max(histogram, default=0)
        if largest <= max(NEVER_TOO_LARGE, self._max_share * images):
            return
        where = f"dedup above {threshold}"
        raise InputError(
            where,
            expected=f"components of at most {self._max_share:.0%} of {images} images",
            found=f"one of {largest}; all sizes are in {self._path}",
            fix="raise the threshold, check the descriptors, or raise max_component_share",
        )
