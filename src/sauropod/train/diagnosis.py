"""What the end of a training log says in plain words: collapse, starvation, skipped steps.

Conservative: a sentence is said only when the median of the last rows is far outside of what
healthy runs show. As a yardstick, the demo's backbone after 300 steps with and without balanced
targets: prototype entropy 1.00 and 0.12, dead prototypes 0.53 and 0.98, rank 32 and 7 (of 64).
"""

import statistics
from collections.abc import Mapping, Sequence

ROWS = 10
"""Rows at the end of the log that are judged, by their median."""
MIN_ROWS = 3
"""Fewer rows say nothing."""
MIN_ENTROPY = 0.1
"""Least `health/prototype_entropy`: log 4 / log K, 131,072 prototypes used like four of them."""
MIN_CONTRAST = 0.003
"""Least distance from `assignment_entropy` up to `prototype_entropy`: below it every image is
assigned alike, however many prototypes share in it (0.03 with balanced targets, above)."""
MAX_DEAD = 0.9
"""Most `health/dead_prototypes`."""
MIN_RANK = 3.0
"""Least `health/feature_rank`: directions that the class tokens of a batch span."""
MIN_SPREAD = 0.05
"""Least `cls_std` and `patch_std`; random directions have 1, equal features 0."""
MAX_WAIT = 0.05
"""Most `wait_share`."""
MAX_SKIPPED = 0.01
"""Most skipped steps, share of all."""

REMEDY = (
    "Against collapse: halve optim.lr, lengthen optim.warmup_steps, lower drop_path to 0.1, set "
    "optim.beta2 0.99, ask for fewer prototypes, or raise objective.koleo_weight."
)


def diagnose(rows: Sequence[Mapping[str, float | None]]) -> list[str]:
    """Advice for a run, from its log's rows in order; empty when nothing is suspicious.

    Columns that a log lacks are not judged.
    """
    names = {name for row in rows for name in row}
    ends = {name: end for name in names if (end := _end(rows, name)) is not None}
    symptoms = [*_prototypes(ends), *_features(ends)]
    remedy = [REMEDY] if symptoms else []
    return [*symptoms, *remedy, *_starvation(ends), *_skipped(rows)]


def _end(rows: Sequence[Mapping[str, float | None]], name: str) -> float | None:
    """Median of a column's last known values."""
    known = [value for row in rows if (value := row.get(name)) is not None]
    return statistics.median(known[-ROWS:]) if len(known) >= MIN_ROWS else None


def _prototypes(ends: Mapping[str, float]) -> list[str]:
    found = []
    entropy, own = (ends.get(f"health/{kind}_entropy") for kind in ("prototype", "assignment"))
    if entropy is not None and entropy < MIN_ENTROPY:
        found.append(f"The teacher uses very few prototypes: entropy {entropy:.2f} of 1.")
    elif entropy is not None and own is not None and entropy - own < MIN_CONTRAST:
        found.append(
            "The teacher assigns every image alike: the entropy of a batch's prototypes is "
            f"{entropy:.2f}, that of a single image's {own:.2f}."
        )
    dead = ends.get("health/dead_prototypes")
    if dead is not None and dead > MAX_DEAD:
        found.append(f"{dead:.0%} of the prototypes in a batch's reach are preferred by no image.")
    return found


def _features(ends: Mapping[str, float]) -> list[str]:
    found = []
    rank = ends.get("health/feature_rank")
    if rank is not None and rank < MIN_RANK:
        found.append(f"The class tokens of a batch span {rank:.1f} directions.")
    for kind, words in (("cls", "class tokens of a batch"), ("patch", "patch tokens of an image")):
        spread = ends.get(f"health/{kind}_std")
        if spread is not None and spread < MIN_SPREAD:
            found.append(f"The {words} are nearly equal: spread {spread:.3f} of 1.")
    return found


def _starvation(ends: Mapping[str, float]) -> list[str]:
    wait = ends.get("wait_share")
    if wait is None or wait <= MAX_WAIT:
        return []
    return [
        f"{wait:.0%} of the time is spent waiting for data: raise --num-workers, set "
        "crops.draft or crops.engine, or cache a small set (--cache True)."
    ]


def _skipped(rows: Sequence[Mapping[str, float | None]]) -> list[str]:
    row = rows[-1] if rows else {}
    skipped, steps = row.get("skipped") or 0.0, row.get("step") or 0.0
    if skipped <= MAX_SKIPPED * steps:
        return []
    return [
        f"{skipped:.0f} of {steps:.0f} steps were skipped for a loss that was not finite: lower "
        "optim.lr, or set optim.precision bf16 or fp32."
    ]
