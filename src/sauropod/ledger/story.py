"""The whole story of an image: every table's word on it, in the order of the DAG.

Nothing is written for it: the tables are asked, and thanks to the key most of them in one row
group. An id leads to its shard, a URL to its range of `url_key`; content is looked up in the
manifests, which are sorted by it, and only then in every IMAGES table.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sauropod import schema
from sauropod.errors import InputError
from sauropod.ingest import urls
from sauropod.ledger.catalogue import Catalogue, Series, rows
from sauropod.ledger.refusals import Refusals, ledger_of
from sauropod.schema import Table

Row = dict[str, Any]
KEYS = 2**64
SHARD_BITS = 32


@dataclass(frozen=True)
class Event:
    """What one file says of an image: the stage, a sentence, and the row behind it."""

    stage: str
    text: str
    file: str
    facts: Row


@dataclass(frozen=True)
class Story:
    """Everything known of an image; `image_id` is None for a link that was never asked for."""

    image_id: int | None
    events: tuple[Event, ...]

    def __str__(self) -> str:
        """Spell the story, one event per line."""
        title = "a link" if self.image_id is None else f"image {self.image_id}"
        width = max(len(event.stage) for event in self.events)
        lines = [f"  {e.stage:<{width}}  {e.text}  [{e.file}]" for e in self.events]
        return "\n".join([title, *lines])

    def plain(self) -> Row:
        """The story as what JSON can say."""
        return asdict(self)


def by_id(tables: Catalogue, image_id: int) -> list[Story]:
    """Tell of an image by its id.

    Raises:
        InputError: no IMAGES table has it.
    """
    story = _tell(tables, image_id)
    if story is None:
        raise _unseen(image_id=image_id)
    return [story]


def by_url(tables: Catalogue, url: str) -> list[Story]:
    """Tell of every image that came from a URL (or has this name in a folder or tar).

    Raises:
        InputError: neither a link nor an image has it.
    """
    with contextlib.suppress(urls.BadURL):  # a name inside a folder or a tar stays as it is
        url = urls.normalise(url)
    told = [_tell(tables, image_id) for image_id in sorted(_ids_of_url(tables, url))]
    stories = [story for story in told if story is not None]
    alone = (*_refused(tables, url), *_links(tables, url))
    if not stories and alone:
        return [Story(None, alone)]
    if not stories:
        raise _unseen(url=url)
    return stories


def by_sha256(tables: Catalogue, sha256: str) -> list[Story]:
    """Tell of every image with these bytes, as downloaded or as screened.

    Raises:
        InputError: no image has them.
    """
    same = pl.col("sha256") == sha256.lower()
    for table in (schema.MANIFEST, schema.IMAGES):
        found = {row["image_id"] for path in tables.files(table) for row in rows(path, table, same)}
        told = [_tell(tables, image_id) for image_id in sorted(found)]
        if stories := [story for story in told if story is not None]:
            return stories
    if Refusals.read(ledger_of(tables.results)).sha256(sha256.lower()):
        return [Story(None, (_forgotten(tables),))]
    raise _unseen(sha256=sha256)


def _unseen(**asked: object) -> InputError:
    ((flag, value),) = asked.items()
    fix = "check it, or look into another folder of results"
    expected, where = "an image this run has seen", f"--{flag.replace('_', '-')} {value}"
    return InputError(where, expected=expected, found="none", fix=fix)


def _ids_of_url(tables: Catalogue, url: str) -> set[int]:
    """Ids of a URL: first in the shard that its key falls into, then everywhere."""
    same = pl.col("url") == url
    likely = [_shard_of(series, url) for series in tables.series if series.table is schema.IMAGES]
    for paths in ([p for p in likely if p], tables.files(schema.IMAGES)):
        found = {r["image_id"] for path in paths for r in rows(path, schema.IMAGES, same)}
        if found:
            return found
    return set()


def _shard_of(series: Series, url: str) -> Path | None:
    return series.files.get(urls.url_key(url) * len(series.files) // KEYS)


def _tell(tables: Catalogue, image_id: int) -> Story | None:
    images = list(_images(tables, image_id))
    if not images:
        return None
    url = next((e.facts["url"] for e in images if e.facts["url"]), None)
    links = _links(tables, url) if url else []
    if any(e.facts["status"] == "forgotten" for e in images):
        links = [_forgotten(tables)]
    rest = [event for tell in LATER for event in tell(tables, image_id)]
    known = {event.facts["sha256"] for event in images if event.facts["sha256"]}
    rest += _manifest(tables, image_id, known)
    return Story(image_id, (*links, *images, *rest))


def _events(
    tables: Catalogue,
    table: Table,
    predicate: pl.Expr,
    say: Callable[[Row], str],
    shard: int | None,
) -> Iterator[Event]:
    """One event per row of a table; the stage is the folder that the file lies in."""
    for path in tables.files(table, shards=None if shard is None else [shard]):
        file = path.relative_to(tables.results)
        for row in rows(path, table, predicate):
            yield Event(file.parts[0], say(row), str(file), row)


def _is(image_id: int, column: str = "image_id") -> pl.Expr:
    return pl.col(column) == pl.lit(image_id, dtype=pl.UInt64)


def _links(tables: Catalogue, url: str) -> list[Event]:
    key = pl.lit(urls.url_key(url), dtype=pl.UInt64)

    def say(row: Row) -> str:
        return f"{row['status']}: {row['url']} found on {row['page_url'] or 'a list'}"

    found = _events(tables, schema.LINKS, pl.col("url_key") == key, say, None)
    return [_with_archives(tables, event) for event in found if event.facts["url"] == url]


def _with_archives(tables: Catalogue, event: Event) -> Event:
    inputs = pl.read_parquet_metadata(tables.results / event.file).get("inputs", "[]")
    return Event(event.stage, event.text, event.file, {**event.facts, "archives": inputs})


def _images(tables: Catalogue, image_id: int) -> Iterator[Event]:
    def say(row: Row) -> str:
        if row["status"] != "ok":
            return f"dropped, {row['status']}: {row['url'] or 'its URL is forgotten'}"
        size = f"{row['format']} of {row['width']}x{row['height']}, {row['num_bytes']:,} bytes"
        return f"{row['source']}, {size}, at byte {row['offset']} of {row['tar']} ({row['url']})"

    yield from _events(tables, schema.IMAGES, _is(image_id), say, image_id >> SHARD_BITS)


def _screened(tables: Catalogue, image_id: int) -> Iterator[Event]:
    def say(row: Row) -> str:
        scores = ", ".join(f"{face['score']:.2f}" for face in row["faces"] or [])
        faces = f"{len(row['faces'] or [])} faces ({scores})" if scores else "no face"
        blurred = ", blurred" if row["blurred"] else ""
        return f"unsafe score {row['nsfw_score']:.3f}, {faces}{blurred}"

    yield from _events(tables, schema.SCREENED, _is(image_id), say, image_id >> SHARD_BITS)


def _hashed(tables: Catalogue, image_id: int) -> Iterator[Event]:
    shard = image_id >> SHARD_BITS
    yield from _events(
        tables, schema.PCA_HASHES, _is(image_id), lambda r: f"PCA hash {r['pca_hash']:016x}", shard
    )

    def say(row: Row) -> str:
        return f"dropped: same hash as {_name(tables, row['duplicate_of'])}"

    yield from _events(tables, schema.DUPLICATES, _is(image_id), say, shard)


def _copies(tables: Catalogue, image_id: int) -> Iterator[Event]:
    def near(row: Row) -> str:
        return f"near {_name(tables, row['neighbour_id'])}, cosine {row['similarity']:.3f}"

    def say(row: Row) -> str:
        text = (
            f"{'kept' if row['kept'] else 'dropped'}, {row['reason']}, component {row['component']}"
        )
        if row["evidence_id"] is None:
            return text
        cosine = "" if row["similarity"] is None else f", cosine {row['similarity']:.3f}"
        return f"{text}: {_name(tables, row['evidence_id'])}{cosine}"

    shard = image_id >> SHARD_BITS
    yield from _events(tables, schema.EDGES, _is(image_id), near, shard)
    yield from _events(tables, schema.COPIES, _is(image_id), say, shard)


def _vectors(tables: Catalogue, image_id: int) -> Iterator[Event]:
    for table, word in ((schema.DESCRIPTORS, "described"), (schema.EMBEDDINGS, "embedded")):
        yield from _events(
            tables, table, _is(image_id), lambda _, word=word: word, image_id >> SHARD_BITS
        )


def _retrieved(tables: Catalogue, image_id: int) -> Iterator[Event]:
    shard = image_id >> SHARD_BITS
    yield from _events(
        tables,
        schema.CLUSTERS,
        _is(image_id),
        lambda r: f"cluster {r['cluster']}, squared distance {r['distance']:.3f}",
        shard,
    )

    def say(row: Row) -> str:
        if row["query_id"] is None:
            return f"drawn for {row['query_dataset']} from cluster {row['cluster']}"
        query = _name(tables, row["query_id"])
        return (
            f"retrieved for {row['query_dataset']} by {query}, rank {row['rank']}, "
            f"cosine {row['similarity']:.3f}"
        )

    yield from _events(tables, schema.NEIGHBOURS, _is(image_id), say, shard)

    def brought(row: Row) -> str:
        return f"as a query it brought {_name(tables, row['image_id'])}, rank {row['rank']}"

    yield from _events(tables, schema.NEIGHBOURS, _is(image_id, "query_id"), brought, shard)


LATER = (_screened, _hashed, _copies, _vectors, _retrieved)


def _manifest(tables: Catalogue, image_id: int, sha256s: set[str]) -> Iterator[Event]:
    def say(row: Row) -> str:
        brought = f" by {row['query_dataset']}" if row["query_dataset"] else ""
        return f"a row of the training set, {row['source']}{brought}"

    # The manifest is sorted by content, so that this condition spares nearly all of it.
    same = pl.col("sha256").is_in(sorted(sha256s)) & _is(image_id)
    if sha256s:
        yield from _events(tables, schema.MANIFEST, same, say, image_id >> SHARD_BITS)


def _name(tables: Catalogue, image_id: int) -> str:
    """An id with the URL behind it."""
    for path in tables.files(schema.IMAGES, shards=[image_id >> SHARD_BITS]):
        for row in rows(path, schema.IMAGES, _is(image_id)):
            return f"{image_id} ({row['url']})" if row["url"] else f"{image_id} (forgotten)"
    return str(image_id)


def _refused(tables: Catalogue, url: str) -> list[Event]:
    refusals = Refusals.read(ledger_of(tables.results))
    return [_forgotten(tables)] if refusals.url(url) else []


def _forgotten(tables: Catalogue) -> Event:
    file = ledger_of(tables.results).relative_to(tables.results)
    return Event("forget", "forgotten on request: its bytes and rows were removed", str(file), {})
