"""The whole demo world: sets, benchmarks, website, archives and the truth, in one folder."""

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sauropod import schema
from sauropod.demo import dense_sets, sets, warc
from sauropod.demo.config import Demo
from sauropod.demo.copies import Encoded
from sauropod.demo.ledger import NO_FACES, Ledger
from sauropod.demo.pool import BLOCKED, BLOG, GALLERY, Item, Pool
from sauropod.demo.traps import rules, traps
from sauropod.demo.website import ROBOTS, Page, pages
from sauropod.errors import InputError
from sauropod.io import stamp

PARTS = 3
FOLDERS = ("site", "crawl", "curated", "benchmarks", "detectors")
TRUTH = "truth.parquet"
SETS = (
    sets.curated,
    sets.classification,
    dense_sets.segmentation,
    dense_sets.depth,
    dense_sets.instances,
    dense_sets.clips,
    sets.unsafe_detector,
    sets.face_detector,
)


def render_world(out: Path, knobs: Demo) -> Iterator[str]:
    """Render the world into `out`, yielding the name of every image as it is written.

    An older world in the folder is replaced; `truth.parquet` is written last, so that a world with
    a truth is whole.

    Raises:
        InputError: the folder holds something else, or a knob is out of range.
    """
    _check(knobs)
    _clear(out)
    ledger = Ledger(out)
    pool = Pool(knobs)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as beside:
        rendering = [beside.submit(_set, make, out, knobs) for make in SETS]
        yield from _served(pool.make(), ledger)
        for done in rendering:
            names, rows = done.result()
            ledger.rows += rows
            yield from names
    yield from _served(pool.copy(ledger), ledger)
    shown = _website(ledger, knobs, pool.items)
    _archives(ledger, shown)
    made_by = stamp("demo", knobs=knobs, inputs=[])
    schema.write(ledger.table(), out / TRUTH, schema.TRUTH, made_by=made_by)


def expected_images(knobs: Demo) -> int:
    """Return how many names `render_world` yields, for progress."""
    large = 16 * knobs.large_per_class
    labelled = (16 + 8) * (knobs.train_per_class + knobs.val_per_class) + large
    dense = 2 * knobs.dense_images + 9 * knobs.instances
    clips = 6 * knobs.clips_per_action * knobs.clip_frames
    curated = knobs.curated_objects + knobs.curated_fine + knobs.curated_places
    return labelled + dense + clips + curated + 2 * knobs.detector_images + knobs.pool_images


def _set(
    make: Callable[[Ledger, Demo], Iterator[str]], out: Path, knobs: Demo
) -> tuple[list[str], list[dict[str, Any]]]:
    """Write a set in a process of its own; returns what it yields, and the rows of its truth."""
    ledger = Ledger(out)
    return list(make(ledger, knobs)), ledger.rows


def _served(items: Iterator[Item], ledger: Ledger) -> Iterator[str]:
    """Write images of the pool to the website; yields their URLs."""
    for item in items:
        ledger.write(f"site/{item.host}/{item.path}", item.file.data)
        yield item.url


def _check(knobs: Demo) -> None:
    """Name the first knob that no world can be made with."""
    shares = {name: value for name, value in vars(knobs).items() if name.endswith("_share")}
    planted = sum(shares.values()) - knobs.faces_share
    wrong = next((name for name, share in shares.items() if not 0 <= share <= 1), "")
    complaints = (
        ("image_size", "at least 24", knobs.image_size, knobs.image_size < 24),
        ("pool_images", "at least 40", knobs.pool_images, knobs.pool_images < 40),
        (wrong, "a share in [0, 1]", shares.get(wrong), bool(wrong)),
        ("unsafe_share", "all planted shares below 0.7 together", planted, planted > 0.7),
    )
    counts = {k: v for k, v in vars(knobs).items() if k.endswith(("_per_class", "_images"))}
    counts |= {"clip_frames": knobs.clip_frames, "instances": knobs.instances}
    few = ((name, "at least 1", value, value < 1) for name, value in counts.items())
    for name, expected, value, is_wrong in (*complaints, *few):
        if is_wrong:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(flag, expected=expected, found=str(value), fix="change the knob")


def _clear(out: Path) -> None:
    """Remove an older world, and refuse to touch anything else."""
    if out.exists():
        strange = [
            p.name for p in out.iterdir() if p.name not in (*FOLDERS, TRUTH, "hosts", "crawl.paths")
        ]
        if strange:
            fix = "name an empty folder, or one that an earlier demo made"
            found = f"{strange[0]!r} in it"
            raise InputError(out, expected="an empty folder or a demo world", found=found, fix=fix)
        (out / TRUTH).unlink(missing_ok=True)
        for folder in FOLDERS:
            shutil.rmtree(out / folder, ignore_errors=True)


def _website(ledger: Ledger, knobs: Demo, items: list[Item]) -> list[Page]:
    """Write what the site serves besides the images; note the pool's truth; return the pages."""
    known = [item for item in items if item.host == GALLERY and item.kind == "original"]
    good = [item for item in known if item.status == "ok" and item.file.suffix == ".jpg"]
    # The largest: whatever is cut off, its header stays.
    sample = max(good, key=lambda item: (len(item.file.data), item.url))
    found = traps(sample)
    for trap in found:
        if trap.body is not None:
            ledger.write(f"site/{trap.url.removeprefix('http://')}", trap.body)
    book = json.dumps(rules(found, sample), indent=1, sort_keys=True)
    ledger.write("site/behaviours.json", (book + "\n").encode())
    for host, text in ROBOTS.items():
        ledger.write(f"site/{host}/robots.txt", text.encode())
    shown = pages(knobs.seed, items, found)
    for page in shown:
        ledger.write(f"site/{page.host}/{page.path}", page.body)
    for item in items:
        facts = {
            name: getattr(item, name) for name in ("label", "kind", "parent", "transform", "status")
        }
        ledger.note(item.url, item.file, role="pool", dataset=item.host, **facts)
    for trap in found:
        facts = {"status": trap.status, "parent": trap.parent}
        if trap.status == "ok":
            ledger.note(
                trap.url, sample.file, role="pool", kind="exact_copy", label=sample.label, **facts
            )
        else:
            file = None if trap.body is None else Encoded(trap.body, "", NO_FACES)
            ledger.note(trap.url, file, role="pool", kind="trap", **facts)
    return shown


def _archives(ledger: Ledger, shown: list[Page]) -> None:
    """Write the pages as web archives, and the list of the archives beside them."""
    names = [f"crawl/pages-{part:05d}.warc.gz" for part in range(PARTS)]
    for part, name in enumerate(names):
        members = [warc.info(Path(name).name)]
        for second, page in enumerate(shown[part::PARTS], start=1):
            form = f"text/html; charset={page.charset}"
            asked = {"content_type": form, "body": page.body, "second": second}
            members.append(warc.exchange(page.url, status="200 OK", **asked))
        late = len(shown)
        gone = b'<html><body>Not here. <img src="/never/on-a-404.jpg"></body></html>'
        members.append(
            warc.exchange(
                f"http://{BLOG}/gone{part}.html",
                status="404 Not Found",
                content_type="text/html",
                body=gone,
                second=late,
            )
        )
        members.append(
            warc.exchange(
                f"http://{GALLERY}/robots.txt",
                status="200 OK",
                content_type="text/plain",
                body=ROBOTS[GALLERY].encode(),
                second=late + 1,
            )
        )
        ledger.write(name, b"".join(members))
    ledger.write("crawl/blocked_domains.txt", f"{BLOCKED}\n".encode())
    lines = "".join(f"{ledger.root / name}\n" for name in names)
    ledger.write("crawl.paths", lines.encode())
