"""robots.py: the examples of RFC 9309 and of Google's specification, and hostile files."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.ingest import robots

RFC = b"""User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot
"""


def allows(text: str | bytes, path: str, *, agent: str = "sauropod") -> bool:
    data = text.encode() if isinstance(text, str) else text
    return robots.parse(data, agent=agent).allows(path)


@pytest.mark.parametrize(
    ("agent", "path", "expected"),
    [
        ("other", "/a.gif", False),
        ("other", "/a.gif?x", True),
        ("other", "/example/x", False),
        ("other", "/publications/x", True),
        ("FooBot", "/", False),
        ("foobot", "/example/page.html", True),
        ("foobot", "/example/allowed.gif", True),
        ("barbot", "/example/page.html", False),
        ("bazbot", "/example/page.html", False),
        ("bazbot", "/example/", True),
        ("quxbot", "/example/", True),  # a group without rules allows everything
        ("other", "/robots.txt", True),
    ],
)
def test_the_rfc_example(agent: str, path: str, expected: bool) -> None:
    assert allows(RFC, path, agent=agent) is expected


@pytest.mark.parametrize(
    ("rules", "path", "expected"),
    [
        ("Allow: /p\nDisallow: /", "/page", True),
        ("Allow: /folder\nDisallow: /folder", "/folder/page", True),
        ("Allow: /page\nDisallow: /*.htm", "/page.htm", False),
        ("Allow: /page\nDisallow: /*.ph", "/page.php5", True),
        ("Allow: /$\nDisallow: /", "/", True),
        ("Allow: /$\nDisallow: /", "/page.htm", False),
        ("Disallow: /fish*.php", "/fishheads/catfish.php?p", False),
        ("Disallow: /fish*.php", "/Fish.PHP", True),
        ("Disallow:", "/x", True),
        ("Disallow: /a%3Cd", "/a%3cd", False),
        ("Disallow: /ツ", "/%E3%83%84", False),
        ("Disallow: /%E3%83%84", "/ツ", False),
        ("Disallow: /a%2fb", "/a/b", True),
        ("Disallow: /%61", "/a", False),
        ("Disallow: /a*b*c$", "/aXbbXcc", False),
        ("Disallow: /a*bc*bc$", "/aXbc", True),
        ("Disallow: /x # comment", "/x", False),
        ("disallow : /x", "/x", False),
        ("Nonsense\nDisallow: /x", "/x", False),
        ("Disallow: x", "/x", True),
    ],
)
def test_rules(rules: str, path: str, expected: bool) -> None:
    assert allows(f"User-agent: *\n{rules}", path) is expected


def test_groups() -> None:
    text = "User-agent: a\nDisallow: /1\n\nUser-agent: Sauropod/2.0\nDisallow: /2\r"
    text += "User-agent: *\rDisallow: /3\nSitemap: /x\nUser-agent: SAUROPOD\nDisallow: /4"
    assert [allows(text, f"/{i}") for i in (1, 2, 3, 4)] == [True, False, True, False]
    assert not allows("\ufeffUser-agent: *\nDisallow: /", "/x")
    assert allows("Disallow: /", "/x")  # rules outside any group are nobody's
    assert allows("", "/x")
    assert robots.ALLOW_ALL.allows("/x")
    assert not robots.FORBID_ALL.allows("/x")


def test_crawl_delay() -> None:
    rules = robots.parse(b"User-agent: *\nCrawl-delay: 2.5\nDisallow: /x", agent="sauropod")
    assert rules.crawl_delay == 2.5
    assert robots.parse(b"User-agent: *\nCrawl-delay: soon", agent="a").crawl_delay == 0.0


def test_a_hostile_pattern_costs_little() -> None:
    start = time.process_time()
    rules = robots.parse(b"User-agent: *\nDisallow: /" + b"*a" * 2000 + b"$", agent="x")
    rules.allows("/" + "a" * 4000)
    rules.allows("/" + "a" * 1999 + "b")
    assert time.process_time() - start < 5  # exponential matching would never end


@settings(max_examples=150, deadline=None)
@given(st.text("ab*", min_size=1, max_size=7), st.text("ab", max_size=8), st.booleans())
def test_wildcards_as_dynamic_programming(pattern: str, path: str, end: bool) -> None:
    def match(p: str, s: str) -> bool:
        if not p:
            return not end or not s
        if p[0] == "*":
            return any(match(p[1:], s[i:]) for i in range(len(s) + 1))
        return bool(s) and s[0] == p[0] and match(p[1:], s[1:])

    rules = f"User-agent: *\nDisallow: /{pattern}{'$' if end else ''}"
    assert allows(rules, f"/{path}") is not match(f"/{pattern}", f"/{path}")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_parse(data: bytes) -> None:
    robots.parse(b"User-agent: *\n" + data, agent="sauropod").allows("/x")
