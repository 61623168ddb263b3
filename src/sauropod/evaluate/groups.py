"""Any folder of groups of photos of the same thing: each photo should find the rest of its group.

Layout: <group>/<image>; a folder named distractors holds images of no group.
"""

import itertools
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sauropod.errors import InputError
from sauropod.evaluate.measured import Measured
from sauropod.evaluate.photos import Embed, photos_in, unreadable_rows
from sauropod.evaluate.ranking import average_precision, is_found
from sauropod.evaluate.search import Score, Search, by_group, search_rows

DISTRACTORS = "distractors"
SCORES: dict[str, Score] = {"map": average_precision, "top1": partial(is_found, k=1)}
_FIX = "lay the photos out as <group>/<image>, two or more per group"


@dataclass(frozen=True)
class Groups:
    """Photos, those of no group at the end, and the names of the groups of the others."""

    photos: tuple[Path, ...]
    names: tuple[str, ...]


def read_groups(root: Path) -> Groups:
    """List groups and distractors; no image is opened.

    Raises:
        InputError: no such folder, an empty group, or no group of two photos.
    """
    if not root.is_dir():
        raise InputError(root, expected="a folder of groups", found="no such folder", fix=_FIX)
    folders = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    found = {folder.name: photos_in(folder, fix=_FIX) for folder in folders}
    distractors = found.pop(DISTRACTORS, ())
    if all(len(photos) < 2 for photos in found.values()):
        words = f"{len(found)} groups, none of two"
        raise InputError(root, expected="groups of two photos or more", found=words, fix=_FIX)
    names = [name for name, photos in found.items() for _ in photos]
    return Groups(tuple(itertools.chain(*found.values(), distractors)), tuple(names))


def groups_rows(root: Path, embed: Embed) -> list[Measured]:
    """`map` and `top1` over the photos that are not alone in their group."""
    groups = read_groups(root)
    gallery = embed(groups.photos)
    relevance = by_group(groups.names, among=groups.names, itself=True)
    search = Search(gallery.head(len(groups.names)), gallery, {"": relevance})
    return search_rows([search], scores=SCORES) + unreadable_rows(photos=gallery)
