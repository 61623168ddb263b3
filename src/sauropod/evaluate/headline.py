"""The metrics that a reader compares: their names, their units, and which way is better."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Headline:
    """A column of a table of results; of several metrics that match, the best one is told."""

    pattern: str
    label: str
    lower: bool = False
    unit: float = 100.0
    """Told as value * unit: per cent of a share, or 1 for metres."""

    def best(self, values: Mapping[str, float]) -> float | None:
        """The best of a model's values (by metric) that the column takes; None without any."""
        found = [value for name, value in values.items() if re.fullmatch(self.pattern, name)]
        if not found:
            return None
        return min(found) if self.lower else max(found)

    def told(self, value: float) -> str:
        """Spell a value in the column's unit."""
        return f"{self.unit * value:.1f}" if self.unit != 1.0 else f"{value:.3f}"


HEADLINES = (
    Headline(r"knn\d*_(top1|mean_per_class|mean_ap)", "k-NN"),
    Headline(r"linear_(top1|mean_per_class|mean_ap|any_of)", "linear"),
    Headline(r"linear_mce", "mCE", lower=True),
    Headline(r"logreg_(top1|mean_per_class|mean_ap|mean)", "logistic"),
    Headline(r"finetune_(top1|mean_per_class|mean_ap)", "fine-tuned"),
    Headline(r"linear_miou", "mIoU linear"),
    Headline(r"multiscale_miou", "mIoU +ms"),
    Headline(r"linear1_rmse", "RMSE lin. 1", lower=True, unit=1.0),
    Headline(r"linear4_rmse", "RMSE lin. 4", lower=True, unit=1.0),
    Headline(r"dpt_rmse", "RMSE DPT", lower=True, unit=1.0),
    Headline(r"sun_rgbd_linear1_rmse", "SUN lin. 1", lower=True, unit=1.0),
    Headline(r"sun_rgbd_linear4_rmse", "SUN lin. 4", lower=True, unit=1.0),
    Headline(r"sun_rgbd_dpt_rmse", "SUN DPT", lower=True, unit=1.0),
    Headline(r"medium_map", "mAP medium"),
    Headline(r"hard_map", "mAP hard"),
    Headline(r"map", "mAP"),
    Headline(r"muap", "muAP"),
    Headline(r"gap", "GAP"),
    Headline(r"gap_minus", "GAP-"),
    Headline(r"acc", "ACC"),
)
"""In the order of columns."""


def headlines_of(metrics: Iterable[str]) -> list[Headline]:
    """The columns that some metrics fill, in order."""
    names = list(metrics)
    return [one for one in HEADLINES if any(re.fullmatch(one.pattern, name) for name in names)]
