"""HTML pages that show the crawl's images in every way the web has to link one."""

import html
import posixpath
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from sauropod.demo.keys import generator, pick
from sauropod.demo.pool import BLOG, CLOSED, GALLERY, SHOP, Item
from sauropod.demo.traps import Trap

PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
PER_PAGE = 12
ROBOTS = {
    GALLERY: "User-agent: *\nDisallow: /private/\nAllow: /\n",
    SHOP: "User-agent: *\nDisallow:\nCrawl-delay: 0\n",
    BLOG: "# welcome\nUser-agent: *\nDisallow: /drafts/\n",
    CLOSED: "User-agent: *\nDisallow: /\n",
}


class Page(NamedTuple):
    """A page: where it is and its HTML."""

    host: str
    path: str
    body: bytes
    charset: str = "utf-8"

    @property
    def url(self) -> str:
        """Return the page's URL."""
        return f"http://{self.host}/{self.path}"


class Address(NamedTuple):
    """How a page may spell an image's address: whole, from the host's root, or from its folder."""

    whole: str
    rooted: str
    relative: str
    alt: str


def address(item: Item, host: str, folder: str) -> Address:
    """Spell an image's address for a page of `host` whose base is `folder` (no slashes around)."""
    query = f"?{item.query}" if item.query else ""
    if item.host != host:
        return Address(item.url, item.url, item.url, item.label)
    rooted = f"/{quote(item.path)}{query}"
    relative = quote(posixpath.relpath(item.path, folder or ".")) + query
    return Address(item.url, rooted, relative, item.label)


def _whole(a: Address, small: str) -> str:
    return f'<img src="{html.escape(a.whole)}" alt="{a.alt}">'


def _rooted(a: Address, small: str) -> str:
    return f"<img alt={a.alt} src='{html.escape(a.rooted)}'>"


def _relative(a: Address, small: str) -> str:
    return f'<a href="#"><IMG SRC = "{html.escape(a.relative)}" width=96></a>'


def _no_scheme(a: Address, small: str) -> str:
    return f'<img src="{html.escape(a.whole.removeprefix("http:"))}" alt="{a.alt}">'


def _entities(a: Address, small: str) -> str:
    spelt = html.escape(a.rooted).replace("/", "&#x2F;")
    return f'<img src="\n  {spelt} " alt="&lt;{a.alt}&gt;">'


def _srcset(a: Address, small: str) -> str:
    src = html.escape(a.rooted)
    candidates = f"{html.escape(small)} 1x,\n    {src} 2x" if small else f"{src} 1x"
    return f'<img srcset="{candidates}" src="{src}" alt="{a.alt}">'


def _picture(a: Address, small: str) -> str:
    source = (
        f'<source srcset="{html.escape(small)} 480w" media="(max-width: 600px)">' if small else ""
    )
    return f'<picture>{source}<img src="{html.escape(a.rooted)}" alt="{a.alt}"></picture>'


def _lazy(a: Address, small: str) -> str:
    return f'<img class="lazy" src="{PIXEL}" data-src="{html.escape(a.rooted)}" alt="{a.alt}">'


def _lazy_set(a: Address, small: str) -> str:
    return (
        f'<img src="{PIXEL}" data-srcset="{html.escape(a.whole)} 640w" loading=lazy alt="{a.alt}">'
    )


def _original(a: Address, small: str) -> str:
    plain = html.escape(a.rooted)
    return f'<img src="{PIXEL}" data-original="{plain}"><noscript><img src="{plain}"></noscript>'


Style = Callable[[Address, str], str]
STYLES: tuple[Style, ...] = (
    _whole,
    _rooted,
    _relative,
    _no_scheme,
    _entities,
    _srcset,
    _picture,
    _lazy,
    _lazy_set,
    _original,
)


def figure(item: Item, host: str, folder: str, smaller: str, rng: np.random.Generator) -> str:
    """Return the HTML that shows one image, in a style of its own."""
    style = pick(rng, (_srcset, _picture)) if smaller else pick(rng, STYLES)
    shown = style(address(item, host, folder), smaller)
    return f"<figure>\n  {shown}\n  <figcaption>A {item.label}</figcaption>\n</figure>"


def document(title: str, figures: list[str], *, head: str = "") -> str:
    """Return an HTML document around the figures."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{head}'
        f"<title>{html.escape(title)}</title>\n</head>\n<body>\n<h1>{html.escape(title)}</h1>\n"
        + "\n".join(figures)
        + '\n<!-- <img src="/never/commented-out.jpg"> -->\n'
        + '<script>var teaser = "<img src=/never/in-script.jpg>";</script>\n</body>\n</html>\n'
    )


def _home(item: Item) -> tuple[str, bool]:
    """Return the host whose pages show an image, and whether those pages say noai."""
    diary = item.path.startswith("media/diary/")
    return (item.host if item.host in (GALLERY, SHOP, BLOG) else GALLERY), diary


def pages(seed: int, items: list[Item], traps: list[Trap]) -> list[Page]:
    """Return every page; together they link every item and every trap at least once."""
    order = generator(seed, "pages").permutation(len(items))
    shelves: dict[tuple[str, bool], list[Item]] = {}
    for k in order:
        shelves.setdefault(_home(items[k]), []).append(items[k])
    small = {
        item.parent: item.url
        for item in items
        if item.transform.startswith(("resize 0", "reencode w"))
    }
    made: list[Page] = []
    for (host, closed), shelf in shelves.items():
        for start in range(0, len(shelf), PER_PAGE):
            made.append(_page(seed, len(made), host, shelf, start, closed=closed, small=small))
    return _set_traps(made, traps)


def _page(
    seed: int,
    number: int,
    host: str,
    shelf: list[Item],
    start: int,
    *,
    closed: bool,
    small: dict[str, str],
) -> Page:
    """Return one page of a shelf, with a link that another page has, too."""
    rng = generator(seed, "page", number)
    path, folder, head = f"pages/{number:03d}.html", "pages", ""
    if host == BLOG and rng.random() < 0.5:
        folder, head = "media", f'<base href="http://{BLOG}/media/">\n'
    if closed:
        head += '<meta name="robots" content="noai, noimageai">\n'
    shown = [*shelf[start : start + PER_PAGE], shelf[int(rng.integers(len(shelf)))]]
    figures = [figure(item, host, folder, small.get(item.url, ""), rng) for item in shown]
    charset = "iso-8859-1" if number % 10 == 7 else "utf-8"
    title = f"Café {host.partition('.')[0]}, page {number}"
    body = document(title, figures, head=head).replace('charset="utf-8"', f'charset="{charset}"')
    return Page(host, path, body.encode(charset), charset)


def _set_traps(made: list[Page], traps: list[Trap]) -> list[Page]:
    """Put every trap on one page, in turn, but for pages that say noai."""
    open_pages = [k for k, page in enumerate(made) if b"noai, noimageai" not in page.body]
    for number, trap in enumerate(traps):
        k = open_pages[number % len(open_pages)]
        link = f'<img src="{html.escape(trap.url)}" alt="?">\n</body>'.encode()
        made[k] = made[k]._replace(body=made[k].body.replace(b"</body>", link))
    return made
