"""Image references of an HTML page: img, picture sources, lazy-loading attributes, base, opt-outs.

Parsed as a browser without scripts parses: entities are decoded, comments, scripts and <template>
hold no images, <noscript> does. What lazy-loading scripts put in data- attributes is read as if
the script had run.
"""

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser

from sauropod.ingest import opt_out, srcset

LAZY = (
    "data-src",
    "data-original",
    "data-lazy-src",
    "data-lazy",
    "data-original-src",
    "data-hi-res-src",
    "data-full-src",
    "data-image",
)
LAZY_SETS = ("data-srcset", "data-lazy-srcset", "data-original-set")
_WANTED = "img,picture source,amp-img,base,meta[name]"
_META_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.I
)
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"))
_BOMS += ((codecs.BOM_UTF16_BE, "utf-16-be"),)


@dataclass(slots=True)
class Found:
    """What one page says: image references as written, its base, whether it opts out."""

    references: list[str] = field(default_factory=list)
    base: str | None = None
    robots: list[str] = field(default_factory=list)


def decode(data: bytes, *, charset: str | None) -> str:
    """Bytes of a page as text: by BOM, UTF-8 if valid, the header's charset, <meta>, or cp1252."""
    for mark, name in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    declared = _META_CHARSET.search(data[:2048])
    for name in (charset, declared[1].decode("ascii") if declared else None):
        try:
            if name and codecs.lookup(name)._is_text_encoding:
                return data.decode(name, "replace")
        except (LookupError, UnicodeError, ValueError):
            continue
    return data.decode("cp1252", "replace")


def read(html: str, *, agent: str) -> Found:
    """Collect a page's image references in document order, each once."""
    found = Found()
    seen: dict[str, None] = {}
    for node in LexborHTMLParser(html).css(_WANTED):
        attributes = node.attributes
        if node.tag == "base":
            if found.base is None and attributes.get("href"):
                found.base = attributes["href"]
        elif node.tag == "meta":
            _meta(attributes, found=found, agent=agent)
        else:
            seen.update(dict.fromkeys(_references(attributes)))
    found.references = list(seen)
    return found


def opts_out(found: Found, *, agent: str, tokens: frozenset[str]) -> bool:
    """True when the page's <meta name=robots> forbids using its images."""
    return opt_out.opted_out(found.robots, agent=agent, tokens=tokens)


def _meta(attributes: Mapping[str, str | None], *, found: Found, agent: str) -> None:
    name = (attributes.get("name") or "").strip().lower()
    if name in ("robots", agent) and attributes.get("content"):
        found.robots.append(attributes["content"] or "")
    elif name == "tdm-reservation" and (attributes.get("content") or "").strip() == "1":
        found.robots.append("noai")


def _references(attributes: Mapping[str, str | None]) -> Iterator[str]:
    for name, value in attributes.items():
        if not value:
            continue
        if name == "src" or name in LAZY:
            yield value
        elif name == "srcset" or name in LAZY_SETS:
            yield from srcset.candidates(value)
