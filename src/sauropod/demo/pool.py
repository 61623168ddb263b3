"""The crawl: a long tail of scenes on several hosts, planted copies, unsafe images and junk."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
from PIL import Image

from sauropod.demo import casting
from sauropod.demo.backdrops import PLACES
from sauropod.demo.config import Demo
from sauropod.demo.copies import Encoded, copy, encode
from sauropod.demo.junk import junk
from sauropod.demo.keys import generator
from sauropod.demo.ledger import NO_FACES, Ledger, encoded
from sauropod.demo.scenes import CLASSES, SPECIES, WILD, render

DOMINANT, DOMINANT_SHARE = "mug", 0.3
GALLERY, SHOP, BLOG = "gallery.demo.test", "shop.demo.test", "blog.demo.test"
BLOCKED, CLOSED = "blocked.demo.test", "private-robots.demo.test"
# host, folder, what ingest should say, share of the originals
FOLDERS = (
    (GALLERY, "photos", "ok", 0.4),
    (SHOP, "img/products", "ok", 0.28),
    (BLOG, "media", "ok", 0.2),
    (GALLERY, "private", "robots", 0.02),
    (BLOG, "noai", "opt_out", 0.02),
    (BLOG, "media/diary", "opt_out", 0.02),  # its pages say noai
    (BLOCKED, "ads", "blocked_domain", 0.03),
    (CLOSED, "images", "robots", 0.03),
)
OPEN = FOLDERS[:3]
COPIED_BENCHMARKS = ("objects", "fine", "objects_large")


@dataclass(frozen=True)
class Item:
    """An image of the website: where it is, its bytes, and its truth."""

    host: str
    path: str  # on disk, without leading slash
    query: str
    file: Encoded
    label: str
    kind: str = "original"
    parent: str = ""
    transform: str = ""
    status: str = "ok"

    @property
    def url(self) -> str:
        """Return the canonical URL."""
        query = f"?{self.query}" if self.query else ""
        return f"http://{self.host}/{quote(self.path)}{query}"


def _label_weights() -> tuple[tuple[str, ...], np.ndarray]:
    """Return labels and their shares: one class dominates, the rest falls off."""
    tail = [name for name in CLASSES if name != DOMINANT]
    labels = (DOMINANT, *tail, *WILD, *SPECIES, *PLACES, "person")
    falling = 0.36 / (1 + np.arange(len(tail))) ** 0.7
    falling *= 0.36 / falling.sum()
    rest = [0.12 / len(WILD)] * len(WILD) + [0.1 / len(SPECIES)] * len(SPECIES)
    weights = np.array([DOMINANT_SHARE, *falling, *rest, *[0.08 / len(PLACES)] * len(PLACES), 0.04])
    return labels, weights / weights.sum()


LABELS, WEIGHTS = _label_weights()


class Pool:
    """Makes the crawl's images in turn, the copies after what they are copied from."""

    def __init__(self, knobs: Demo) -> None:
        """Plan how many images of each kind there are."""
        total = knobs.pool_images
        self.knobs = knobs
        self.items: list[Item] = []
        self.near = round(total * knobs.near_duplicate_share)
        self.exact = round(total * knobs.exact_copy_share)
        self.benchmark = round(total * knobs.benchmark_copy_share)
        self.curated = round(total * knobs.curated_copy_share)
        self.unsafe = round(total * knobs.unsafe_share)
        self.junk = round(total * knobs.junk_share)
        copies = self.near + self.exact + self.benchmark + self.curated
        self.scenes = max(1, total - copies - self.unsafe - self.junk)

    def make(self) -> Iterator[Item]:
        """Make every image that is not copied from another set."""
        kinds = ["scene"] * self.scenes + ["unsafe"] * self.unsafe + ["junk"] * self.junk
        order = generator(self.knobs.seed, "pool order").permutation(len(kinds))
        for k in order:
            yield self._original(int(k), kinds[k])
        for group, parent in self._groups():
            yield self._copy(f"near{group}", parent.file, parent, "near_duplicate", parent.url)
        yield from self._exact_copies()

    def copy(self, ledger: Ledger) -> Iterator[Item]:
        """Make the other images, at last; the ledger names what may be copied."""
        for kind, role, count in (
            ("benchmark_copy", "benchmark", self.benchmark),
            ("curated_copy", "curated", self.curated),
        ):
            yield from self._foreign_copies(ledger, kind=kind, role=role, count=count)

    def _place(self, name: str, *, suffix: str, anywhere: bool) -> dict[str, str]:
        """Return where an image goes: host, path, query and status."""
        rng = generator(self.knobs.seed, "place", name)
        folders = FOLDERS if anywhere else OPEN
        share = np.array([folder[3] for folder in folders])
        host, folder, status, _ = folders[int(rng.choice(len(folders), p=share / share.sum()))]
        number = len(self.items)
        odd = rng.random()
        stem = f"café {number:04d}" if odd < 0.02 else f"{number:04d}"
        query = "size=full&v=2" if 0.02 <= odd < 0.06 else ""
        return {"host": host, "path": f"{folder}/{stem}{suffix}", "query": query, "status": status}

    def _keep(self, item: Item) -> Item:
        self.items.append(item)
        return item

    def _original(self, number: int, kind: str) -> Item:
        name = f"pool {kind} {number}"
        key = (self.knobs.seed, name)
        rng = generator(*key)
        width, height = casting.frame(rng, self.knobs.image_size)
        # Exact shares in any size of world: a label per step of the cumulative weights.
        step = np.searchsorted(np.cumsum(WEIGHTS), (number + 0.5) / self.scenes)
        label = LABELS[min(int(step), len(LABELS) - 1)]
        if kind == "junk":
            file, label = encode(junk(rng, (width, height)), NO_FACES), "junk"
        elif kind == "unsafe":
            label = "hazard"
            file = encoded(render(casting.portrait(label, key, width=width, height=height)))
        else:
            file = self._scene(label, key, rng, width, height)
        place = self._place(name, suffix=file.suffix, anywhere=kind == "scene")
        kind = "original" if kind == "scene" else kind
        return self._keep(Item(file=file, label=label, kind=kind, **place))

    def _scene(
        self, label: str, key: casting.Key, rng: np.random.Generator, width: int, height: int
    ) -> Encoded:
        people = int(rng.integers(1, 4)) if rng.random() < self.knobs.faces_share else 0
        if label == "person":
            number = int(rng.integers(1, 4))
            scene = casting.company(key, width=width, height=height, people=number)
        elif label in PLACES:
            scene = casting.place(label, key, width=width, height=height)
        else:
            scene = casting.portrait(label, key, width=width, height=height)
        if people and label != "person":
            scene = casting.visited(scene, rng, people=people)
        return encoded(render(scene), quality=int(rng.integers(80, 95)))

    def _parents(self, name: str, count: int) -> list[Item]:
        """Return up to `count` different originals that may be copied."""
        known = [item for item in self.items if item.kind == "original" and item.status == "ok"]
        order = generator(self.knobs.seed, name).permutation(len(known))
        return [known[k] for k in order[:count]]

    def _groups(self) -> Iterator[tuple[int, Item]]:
        """Yield a parent per near duplicate: groups of 2 to 6, the original counted."""
        rng = generator(self.knobs.seed, "groups")
        made = 0
        for parent in self._parents("group parents", self.near):
            for _ in range(int(rng.choice([1, 1, 2, 2, 3, 4, 5]))):
                if made == self.near:
                    return
                yield made, parent
                made += 1

    def _copy(self, name: str, file: Encoded, parent: Item, kind: str, parent_name: str) -> Item:
        """Add an edited copy of a file."""
        rng = generator(self.knobs.seed, "copy", name)
        image = Image.open(io.BytesIO(file.data)).convert("RGB")
        copied, words = copy(image, file.faces, rng)
        place = self._place(name, suffix=copied.suffix, anywhere=False)
        facts = {"label": parent.label, "kind": kind, "parent": parent_name, "transform": words}
        return self._keep(Item(file=copied, **facts, **place))

    def _exact_copies(self) -> Iterator[Item]:
        for k, parent in enumerate(self._parents("exact parents", self.exact)):
            place = self._place(f"exact{k}", suffix=parent.file.suffix, anywhere=False)
            facts = {"label": parent.label, "kind": "exact_copy", "parent": parent.url}
            yield self._keep(Item(file=parent.file, **facts, **place))

    def _foreign_copies(
        self, ledger: Ledger, *, kind: str, role: str, count: int
    ) -> Iterator[Item]:
        """Copy test images of the benchmarks or curated images into the crawl."""
        known = [
            row
            for row in ledger.rows
            if row["role"] == role
            and (
                role == "curated"
                or (row["split"], row["dataset"] in COPIED_BENCHMARKS) == ("val", True)
            )
        ]
        order = generator(self.knobs.seed, kind).permutation(len(known))
        for k in order[:count]:
            row = known[k]
            file = Encoded((ledger.root / row["name"]).read_bytes(), ".jpg", NO_FACES)
            parent = Item("", "", "", file, row["label"])
            yield self._copy(f"{kind}{k}", file, parent, kind, row["name"])
