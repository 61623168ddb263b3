"""Progress with rate and ETA: a bar on a terminal, one line per 30 seconds in a log file."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

LINE_EVERY_S = 30.0
BAR_EVERY_S = 0.2
BAR_WIDTH = 24


def duration(seconds: float) -> str:
    """Spell seconds as `1h02m`, `3m20s` or `12s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def _report(done: int, total: int | None, seconds: float, label: str, unit: str) -> str:
    rate = done / seconds if seconds > 0 else 0.0
    if total is None:
        return f"{label}: {done:,} {unit}, {rate:,.1f}/s, {duration(seconds)}"
    share = done / total if total else 1.0
    left = duration((total - done) / rate) if rate > 0 else "?"
    return f"{label}: {done:,}/{total:,} {unit} ({share:.0%}), {rate:,.1f}/s, ETA {left}"


def track(
    items: Iterable[T],
    *,
    total: int | None,
    label: str,
    unit: str,
    weight: int = 1,
    note: Callable[[], str] = str,
) -> Iterator[T]:
    """Pass items through and report on stderr how far, how fast and how much longer.

    Args:
        items: What to iterate over.
        total: Number of units expected, or None when unknown.
        label: Name of the work, first word of every line.
        unit: What is counted ("images", "steps").
        weight: Units per item, for example the batch size.
        note: What to add to a line when it is written; an empty text adds nothing.
    """
    terminal = sys.stderr.isatty()
    every = BAR_EVERY_S if terminal else LINE_EVERY_S
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += weight
        now = time.monotonic()
        if now - last >= every:
            last = now
            line = _report(done, total, now - start, label, unit)
            line += f", {noted}" if (noted := note()) else ""
            if terminal:
                filled = round(BAR_WIDTH * min(1.0, done / total)) if total else 0
                line = f"\r[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {line}\x1b[K"
            sys.stderr.write(line if terminal else line + "\n")
            sys.stderr.flush()
    seconds = time.monotonic() - start
    ending = f"{label}: {done:,} {unit} in {duration(seconds)}"
    ending += f", {done / seconds:,.1f}/s" if seconds > 0 else ""
    sys.stderr.write(f"\r{ending}\x1b[K\n" if terminal else ending + "\n")
    sys.stderr.flush()
