"""From pages to the LINKS table: resolve, normalise, judge, deduplicate, sort by key."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sauropod import schema
from sauropod.config import Links
from sauropod.errors import InputError
from sauropod.ingest import arc, archives, complexity, opt_out, pages, sources, urls, wat
from sauropod.ingest.pages import Found
from sauropod.ingest.policy import Policy, read_policy, registered_domain
from sauropod.progress import track

AGENT = "sauropod"
"""Our product token: the name robots directives address us by."""
ROWS_PER_FRAME = 200_000
INLINE = ("data:", "blob:")
Row = tuple[str, str | None, str, str]  # url, page_url, domain, status


@dataclass(frozen=True)
class Extracted:
    """What came out of archives or lists."""

    links: pl.DataFrame
    """LINKS rows sorted by url_key, each URL once."""
    left_out: Counter[str]
    """References without a row: duplicate_url, inline (data: URIs)."""
    records: Counter[str]
    """Records of the archives: page, or the reason a record was none."""

    def summary(self, shard: str) -> pl.DataFrame:
        """SUMMARY rows: references by fate (stage links), archive records by kind (records)."""
        refused = self.links["status"].cast(pl.String).value_counts().sort("status").iter_rows()
        counts = Counter(dict(refused))
        kept = counts.pop("ok", 0)
        parts = [schema.summary("links", shard, kept=kept, dropped=counts + self.left_out)]
        if self.records:
            kinds = dict(sorted(self.records.items()))
            pages_read = kinds.pop("page", 0)
            parts.append(schema.summary("records", shard, kept=pages_read, dropped=kinds))
        return pl.concat(parts)


def extract(files: Sequence[Path], *, kind: str, knobs: Links) -> Extracted:
    """Collect the links of archives (warc, wat) or URL lists (urls).

    Raises:
        InputError: a blocklist is missing, or none of the files could be read at all.
    """
    policy = read_policy(
        [Path(p) for p in knobs.blocked_domains], url_files=[Path(p) for p in knobs.blocked_urls]
    )
    records: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    judge = Judge(policy)
    frames: list[pl.DataFrame] = []
    rows: list[Row] = []
    for row in _rows(files, kind=kind, knobs=knobs, judge=judge, records=records):
        if row is None:
            left_out["inline"] += 1
            continue
        rows.append(row)
        if len(rows) >= ROWS_PER_FRAME:
            frames.append(_frame(rows))
            rows = []
    frames.append(_frame(rows))
    links = unique(pl.concat(frames))
    left_out["duplicate_url"] = sum(frame.height for frame in frames) - links.height
    if files and kind != "urls" and set(records) <= {"damaged"}:
        raise InputError(
            files[0], expected=f"a {kind} archive", found="no readable record", fix="check the path"
        )
    return Extracted(links, left_out, records)


class Judge:
    """Turns references into judged URLs, remembering what it said of hosts."""

    def __init__(self, policy: Policy) -> None:
        """Take the user's blocklists."""
        self._policy = policy
        self._hosts: dict[str, tuple[str, str]] = {}

    def row(self, reference: str, *, base: urls.Base | None, page_url: str | None) -> Row | None:
        """Resolve and judge one reference; None when it carries the image itself (data:).

        What is no http(s) URL keeps its text, cut to the limit.
        """
        if reference.lstrip()[:5].lower() in INLINE:
            return None
        try:
            url = urls.normalise(reference, base=base)
        except urls.BadURL:
            text = reference.strip()[: urls.MAX_URL].encode("utf-8", "replace").decode()
            return text, page_url, "", "bad_url"
        host = urls.host_of(url)
        said = self._hosts.get(host)
        if said is None:
            said = registered_domain(host), self._policy.host_status(host)
            self._hosts[host] = said
        domain, status = said
        return url, page_url, domain, status if status != "ok" else self._policy.url_status(url)


def unique(links: pl.DataFrame) -> pl.DataFrame:
    """One row per URL, sorted by url_key, the same whatever the order of rows and files.

    Where pages disagree, an opt-out on one of them holds; of equals the first page_url stays.
    """
    order = pl.col("status") != "opt_out"
    return (
        links.sort("url_key", "url", order, "page_url", nulls_last=True)
        .unique(["url_key", "url"], keep="first", maintain_order=True)
        .select(list(schema.LINKS.columns))
    )


def _rows(
    files: Sequence[Path], *, kind: str, knobs: Links, judge: Judge, records: Counter[str]
) -> Iterator[Row | None]:
    for path in track(files, total=len(files), label="links", unit="files"):
        if kind == "urls":
            for reference, page_url in sources.url_table(path).iter_rows():
                yield judge.row(reference, base=None, page_url=page_url)
            continue
        for page_url, found in _pages(path, kind=kind, knobs=knobs, records=records):
            yield from page_rows(page_url, found, knobs=knobs, judge=judge)


def _pages(
    path: Path, *, kind: str, knobs: Links, records: Counter[str]
) -> Iterator[tuple[str, Found]]:
    if kind == "wat":
        digests = wat.digests(path, max_bytes=knobs.max_page_bytes, counts=records)
        yield from ((digest.url, digest.found) for digest in digests)
        return
    reader = arc.pages if arc.is_arc(path) else archives.pages
    for page in reader(path, max_bytes=knobs.max_page_bytes, counts=records):
        html = pages.decode(page.body, charset=page.charset)
        if not complexity.parseable(html):
            records.update(page=-1, too_complex=1)
            continue
        found = pages.read(html, agent=AGENT)
        found.robots += page.robots
        yield page.url, found


def page_rows(page_url: str, found: Found, *, knobs: Links, judge: Judge) -> Iterator[Row | None]:
    """Rows of one page's references. A page without an http(s) address gives none."""
    base = _base(page_url, found=found)
    if base is None:
        return
    out = knobs.honour_meta_robots and opt_out.opted_out(
        found.robots, agent=AGENT, tokens=frozenset(knobs.opt_out_tokens)
    )
    for reference in found.references[: knobs.max_links_per_page]:
        row = judge.row(reference, base=base, page_url=page_url)
        yield (*row[:3], "opt_out") if out and row and row[3] == "ok" else row


def _base(page_url: str, *, found: Found) -> urls.Base | None:
    try:
        base = urls.base_of(page_url)
    except urls.BadURL:
        return None
    if found.base:
        try:
            return urls.base_of(urls.normalise(found.base, base=base))
        except urls.BadURL:
            return base
    return base


def _frame(rows: Iterable[Row]) -> pl.DataFrame:
    columns = ("url", "page_url", "domain", "status")
    kinds = {name: schema.LINKS.columns[name] for name in columns}
    frame = pl.DataFrame(list(rows), schema=kinds, orient="row")
    keys = pl.Series("url_key", [urls.url_key(url) for url in frame["url"]], dtype=pl.UInt64)
    return frame.with_columns(keys)
