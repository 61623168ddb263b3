"""pages.py: references of a page against a parser of the standard library and hard cases."""

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.ingest import opt_out, pages, srcset

TOKENS = frozenset(("noai", "noimageai", "noimageindex"))


class Oracle(HTMLParser):
    """The same question put to html.parser: img, amp-img, and source inside picture."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pictures += tag == "picture"
        if tag not in ("img", "amp-img") and not (tag == "source" and self.pictures):
            return
        for name, value in attrs:
            if value and (name == "src" or name in pages.LAZY):
                self.found.append(value)
            elif value and (name == "srcset" or name in pages.LAZY_SETS):
                self.found += srcset.candidates(value)

    def handle_endtag(self, tag: str) -> None:
        self.pictures -= tag == "picture"


def references(html: str) -> list[str]:
    return pages.read(html, agent="sauropod").references


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<img src=a.png>", ["a.png"]),
        ("<IMG SRC = 'a.png?x=1&amp;y=2'>", ["a.png?x=1&y=2"]),
        ("<img src='&#x2F;a&#46;png'>", ["/a.png"]),
        ('<img src="a.png" src="b.png">', ["a.png"]),
        ("<img srcset='a 1x, b 2x' src=c>", ["a", "b", "c"]),
        (
            "<img src='data:image/gif;base64,R0' data-src=l.png>",
            ["data:image/gif;base64,R0", "l.png"],
        ),
        ("<img data-original=o data-lazy-src=z data-srcset='s 2x'>", ["o", "z", "s"]),
        ("<picture><source srcset='s.webp 1x'><img src=i></picture>", ["s.webp", "i"]),
        ("<video><source src=v.mp4 srcset=x></video>", []),
        ("<noscript><img src=n></noscript>", ["n"]),
        ("<template><img src=t></template>", []),
        ("<!-- <img src=c> --><script>'<img src=s>'</script>", []),
        ("<textarea><img src=t></textarea><title><img src=u></title>", []),
        ("<amp-img src=a></amp-img>", ["a"]),
        ("<img src><img src=''><img>", []),
        ("<img src=a><img src=a>", ["a"]),
        ("<p><img src=a", []),
    ],
)
def test_references(html: str, expected: list[str]) -> None:
    assert references(html) == expected


ATTRIBUTE = st.sampled_from(["src", "srcset", "data-src", "data-srcset", "alt", "data-original"])
VALUE = st.text("ab/.&;?=, é", min_size=1, max_size=8)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["img", "source", "p", "a"]), ATTRIBUTE, VALUE)))
def test_finds_what_the_standard_library_finds(tags: list[tuple[str, str, str]]) -> None:
    html = "".join(f'<{tag} {name}="{value}">x' for tag, name, value in tags)
    oracle = Oracle()
    oracle.feed(html)
    assert set(references(html)) == set(oracle.found)


def test_base_and_robots() -> None:
    html = "<base target=x><base href=/b/><base href=/c/><meta name=ROBOTS content='NoAI'>"
    found = pages.read(html + "<meta name=sauropod content=noindex>", agent="sauropod")
    assert found.base == "/b/"
    assert found.robots == ["NoAI", "noindex"]
    other = pages.read("<meta name=googlebot content=noai>", agent="sauropod")
    assert other.robots == []
    tdm = pages.read("<meta name=tdm-reservation content=1>", agent="sauropod")
    assert opt_out.opted_out(tdm.robots, agent="sauropod", tokens=TOKENS)


@pytest.mark.parametrize(
    ("data", "charset", "expected"),
    [
        ("é".encode(), "iso-8859-1", "é"),  # valid UTF-8 wins over a wrong header
        ("é".encode("latin-1"), "iso-8859-1", "é"),
        ("ж".encode("cp1251"), "windows-1251", "ж"),
        (
            b"<meta charset=windows-1251>" + "ж".encode("cp1251"),
            None,
            "<meta charset=windows-1251>ж",
        ),
        (b"\xef\xbb\xbfa", None, "a"),
        ("é".encode("utf-16"), None, "é"),
        (b"\xe9", "no-such-charset", "é"),
        (b"\xe9", "zip", "é"),  # a codec, but none for text
        (b"\xe9", None, "é"),
    ],
)
def test_charsets(data: bytes, charset: str | None, expected: str) -> None:
    assert pages.decode(data, charset=charset) == expected


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_page(data: bytes) -> None:
    references(pages.decode(data, charset=None))
