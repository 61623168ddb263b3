"""complexity.py: what would stall the parser is refused, big honest pages are not."""

import pytest
from selectolax.lexbor import LexborHTMLParser

from sauropod.ingest import complexity

WORDS = " ".join(f"a{i}=1" for i in range(40_000))


@pytest.mark.parametrize(
    "html",
    [
        f"<img {WORDS}>",
        "<img " + " ".join(f'a{i}=">"' for i in range(40_000)) + ">",
        "<img " + "/".join(f"a{i}" for i in range(40_000)) + ">",
        "<div>" * 40_000,
        "<div></x>" * 40_000,
        "</div>" * 40_000 + "<div>" * 40_000,
        "<a><b>" * 40_000,
        "<select>" + "<option>" * 40_000,
    ],
)
def test_refused(html: str) -> None:
    assert not complexity.parseable(html)


@pytest.mark.parametrize(
    "html",
    [
        "x" * 500_000,
        "<p>word" * 60_000,
        "<li><a href='x'>y</a>" * 30_000,
        "<div><img src='a.png'></div>" * 20_000,
        f"<img src='data:image/png;base64,{'A' * 400_000}'>",
        f"<svg><path d='{'M 1 2 ' * 50_000}'></svg>",
        "<" * 300_000,
    ],
)
def test_let_through(html: str) -> None:
    assert complexity.parseable(html)
    LexborHTMLParser(html)


def test_small_pages_are_not_looked_at() -> None:
    assert complexity.parseable("<div>" * 20_000)
