"""Images of a folder or of ready-made tar shards (WebDataset, img2dataset), as IMAGES rows."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sauropod import io
from sauropod.config import Ingest
from sauropod.errors import InputError
from sauropod.ingest import pack, urls
from sauropod.ingest.pack import Facts, Row
from sauropod.ingest.policy import registered_domain
from sauropod.ingest.sources import check_part
from sauropod.progress import track

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
MAX_SIDECAR = 1_000_000


def listing(folder: Path, *, part: int, num_parts: int, counts: Counter[str]) -> list[str]:
    """Relative paths of the part-th run of a folder's image files, sorted.

    Other files are left out and counted in part 0 as not_an_image.

    Raises:
        InputError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(
            folder, expected="a folder of images", found="no such folder", fix="check the path"
        )
    check_part(part, num_parts=num_parts)
    found: list[str] = []
    others = 0
    for root, _, names in os.walk(folder):  # does not follow links to folders
        # Every shard lists the whole folder: no path is taken apart for each of its files.
        within = Path(root).relative_to(folder)
        before = "" if within == Path() else f"{within.as_posix()}/"
        images = [name for name in names if name.lower().endswith(IMAGE_ENDINGS)]
        found += [before + name for name in images]
        others += len(names) - len(images)
    if not found:
        raise InputError(
            folder, expected="image files", found="none", fix=f"put {', '.join(IMAGE_ENDINGS)} in"
        )
    if part == 0:
        counts["not_an_image"] += others
    first, end = (len(found) * i // num_parts for i in (part, part + 1))
    return sorted(found)[first:end]


def pack_folder(
    folder: Path, names: Sequence[str], *, tar_path: Path, knobs: Ingest, num_threads: int
) -> list[Row]:
    """Validate files and write the good ones to a tar shard; one row per name, in order."""
    root = folder.resolve()
    rows: list[Row] = []

    def load(name: str) -> tuple[Facts, bytes]:
        return _load(folder / name, root=root, knobs=knobs)

    with io.TarWriter(tar_path) as tar:
        todo = track(names, total=len(names), label="ingest", unit="files")
        for name, (facts, data) in pack.ordered(load, todo, num_threads=num_threads):
            row = _row(facts, url=name)
            if row.status == "ok":
                row = pack.place(row, data, tar=tar, tar_path=tar_path, number=len(rows))
            rows.append(row)
    return rows


def _load(path: Path, *, root: Path, knobs: Ingest) -> tuple[Facts, bytes]:
    try:
        if not path.resolve(strict=True).is_relative_to(root) or not path.is_file():
            return Facts(status="bad_url"), b""  # a link that leaves the folder, a device, a pipe
        if path.stat().st_size > knobs.max_bytes:
            return Facts(status="too_large"), b""
        data = path.read_bytes()
    except (OSError, RuntimeError):
        return Facts(status="connection_error"), b""
    return pack.validate(data, knobs=knobs), data


def _row(facts: Facts, *, url: str, domain: str | None = None) -> Row:
    return Row(
        url=url,
        domain=domain,
        status=facts.status,
        width=facts.width,
        height=facts.height,
        format=facts.format,
        sha256=facts.sha256,
    )


@dataclass(frozen=True, slots=True)
class Member:
    """An image inside a tar shard, and the URL its sidecar gives."""

    tar: Path
    name: str
    offset: int
    num_bytes: int
    url: str | None


def members(tar: Path) -> Iterator[Member]:
    """List a tar's images with the `url` of their .json sidecar.

    Files that share everything before the first dot of their name belong together.
    """
    sidecars: dict[str, tuple[int, int]] = {}
    found: list[tuple[str, int, int]] = []
    for name, offset, size in io.tar_members(tar):
        if name.lower().endswith(IMAGE_ENDINGS):
            found.append((name, offset, size))
        elif name.endswith(".json"):
            sidecars[_stem(name)] = (offset, size)
    for name, offset, size in found:
        url = _sidecar_url(tar, sidecars.get(_stem(name)))
        yield Member(tar, name, offset, size, url)


def index_tars(tars: Sequence[Path], *, knobs: Ingest, num_threads: int) -> list[Row]:
    """Validate the images of tar shards where they lie; one row per image, in file order."""

    def look(member: Member) -> Facts:
        if member.num_bytes > knobs.max_bytes:
            return Facts(status="too_large")
        data = io.read_range(member.tar, offset=member.offset, num_bytes=member.num_bytes)
        return pack.validate(data, knobs=knobs)

    rows: list[Row] = []
    todo = (member for tar in tars for member in members(tar))
    todo = track(todo, total=None, label="ingest", unit="images")
    for member, facts in pack.ordered(look, todo, num_threads=num_threads):
        url, domain = _address(member)
        row = _row(facts, url=url, domain=domain)
        rows.append(_placed(row, member) if row.status == "ok" else row)
    return rows


def _placed(row: Row, member: Member) -> Row:
    values = {name: getattr(row, name) for name in Row.__slots__}
    values.update(tar=str(member.tar), offset=member.offset, num_bytes=member.num_bytes)
    return Row(**values)


def _address(member: Member) -> tuple[str, str | None]:
    """A member's URL and domain: from its sidecar, else its name inside its tar."""
    if member.url:
        try:
            url = urls.normalise(member.url)
        except urls.BadURL:
            return member.url[: urls.MAX_URL], None
        return url, registered_domain(urls.host_of(url))
    return f"{member.tar.name}#{member.name}", None


def _stem(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _sidecar_url(tar: Path, place: tuple[int, int] | None) -> str | None:
    if place is None or place[1] > MAX_SIDECAR:
        return None
    try:
        sidecar = json.loads(io.read_range(tar, offset=place[0], num_bytes=place[1]))
    except (ValueError, RecursionError):
        return None
    url = sidecar.get("url") if isinstance(sidecar, dict) else None
    return url if isinstance(url, str) else None
