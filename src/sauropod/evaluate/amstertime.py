"""AmsterTime: old photos of Amsterdam and street views of the same places (arXiv 2203.16291).

Layout: new/<number>.png and old/<number>.jpg, the same numbers in both. Each image is a query
against the other folder; the published mAP is the mean over all queries, of both directions.
"""

from functools import partial
from pathlib import Path

import numpy as np

from sauropod.errors import InputError
from sauropod.evaluate.measured import Measured
from sauropod.evaluate.photos import Embed, photos_in, unreadable_rows
from sauropod.evaluate.ranking import Relevance, average_precision, is_found
from sauropod.evaluate.search import Score, Search, search_rows

SCORES: dict[str, Score] = {
    "map": average_precision,
    "map128": partial(average_precision, within=128),
    "top1": partial(is_found, k=1),
    "top5": partial(is_found, k=5),
}
_FIX = "unpack new/ and old/ of doi.org/10.4121/19580806"


def read_amstertime(root: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """List the new and the old photos, pair by pair; no image is opened.

    Raises:
        InputError: a folder is missing or empty, or a photo has no counterpart.
    """
    new, old = (photos_in(root / side, fix=_FIX) for side in ("new", "old"))
    names = [[path.stem for path in side] for side in (new, old)]
    if names[0] != names[1]:
        alone = sorted(set(names[0]) ^ set(names[1])) or ["one name twice"]
        expected = f"a pair in new/ and old/ for each of {max(map(len, names))} places"
        found = f"{len(names[0])} new and {len(names[1])} old photos, {alone[0]} without its pair"
        raise InputError(root, expected=expected, found=found, fix=_FIX)
    return new, old


def amstertime_rows(root: Path, embed: Embed) -> list[Measured]:
    """`map`, `map128`, `top1`, `top5` over all queries, and `{new,old}_...` by whose queries.

    The authors' script counts a place that is not among the first 128 as never found.
    """
    new, old = map(embed, read_amstertime(root))
    pairs = [Relevance(np.array([i]), np.empty(0, np.int64)) for i in range(new.count)]
    searches = [
        Search(new, old, {"": pairs, "new": pairs}),
        Search(old, new, {"": pairs, "old": pairs}),
    ]
    return search_rows(searches, scores=SCORES) + unreadable_rows(new=new, old=old)
