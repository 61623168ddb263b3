"""urls.py: a table after RFC 3986 and WHATWG, the standard library as oracle, idempotence."""

import hashlib
from urllib.parse import quote, urljoin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.ingest import urls

BASE = urls.base_of("http://Example.COM:80/a/b/c.html?q=1#x")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("x.png", "http://example.com/a/b/x.png"),
        ("../x.png", "http://example.com/a/x.png"),
        ("../../../x.png", "http://example.com/x.png"),
        ("./.", "http://example.com/a/b/"),
        ("/x y.png", "http://example.com/x%20y.png"),
        ("//cdn.Example.org/a", "http://cdn.example.org/a"),
        ("HTTPS://EXAMPLE.com", "https://example.com/"),
        ("https://example.com:443/", "https://example.com/"),
        ("http://example.com:8080/", "http://example.com:8080/"),
        ("http://example.com:/", "http://example.com/"),
        ("?a=b", "http://example.com/a/b/c.html?a=b"),
        ("", "http://example.com/a/b/c.html?q=1"),
        ("#f", "http://example.com/a/b/c.html?q=1"),
        ("http:foo.png", "http://example.com/a/b/foo.png"),
        ("https:foo.png", "https://foo.png/"),
        ("http:/\\/foo.com/é?ü=%7e%2f", "http://foo.com/%C3%A9?%C3%BC=~%2F"),
        ("a\\b?c\\d", "http://example.com/a/b/a/b?c\\d"),
        ("\t http://a.com/\nb ", "http://a.com/b"),
        ("http://a.com/./b/%2e%2E/c", "http://a.com/c"),
        ("http://a.com/%41%7E%zz%c3", "http://a.com/A~%zz%C3"),
        ("http://a.com/x'y?z'=\"", "http://a.com/x'y?z%27=%22"),
        ("http://a.com./", "http://a.com/"),
        ("http://a_b.example.com/", "http://a_b.example.com/"),
        ("http://münchen.de/", "http://xn--mnchen-3ya.de/"),
        ("http://%65xample.com/", "http://example.com/"),
        ("http://2130706433/", "http://127.0.0.1/"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://0177.0.0.1/", "http://127.0.0.1/"),
        ("http://[::FFFF:127.0.0.1]:80/", "http://[::ffff:7f00:1]/"),
        ("http://[2001:DB8::0:1]:81/", "http://[2001:db8::1]:81/"),
    ],
)
def test_normal_form(reference: str, expected: str) -> None:
    assert urls.normalise(reference, base=BASE) == expected


@pytest.mark.parametrize(
    "reference",
    [
        "data:image/png;base64,aa",
        "javascript:void(0)",
        "ftp://a.com/",
        "file:///etc/passwd",
        "//",
        "http://",
        "http://a..b/",
        "http://a b/",
        "http://user@a.com/",
        "http://a.com:99999/",
        "http://a.com:0/",
        "http://a.com:x/",
        "http://1.2.3.4.5/",
        "http://256.1.1.1/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://" + "a" * 64 + ".com/",
        "http://a.com/" + "x" * 5000,
    ],
)
def test_what_is_no_url_is_refused(reference: str) -> None:
    with pytest.raises(urls.BadURL):
        urls.normalise(reference, base=BASE)


def test_relative_needs_a_base() -> None:
    with pytest.raises(urls.BadURL):
        urls.normalise("/a.png")


SEGMENT = st.text("abcXYZ019-_~.", min_size=1, max_size=4)
PATH = st.lists(SEGMENT, max_size=5).map("/".join)


@settings(max_examples=200, deadline=None)
@given(PATH, PATH, st.booleans())
def test_resolves_as_the_standard_library(page: str, reference: str, rooted: bool) -> None:
    base = urls.base_of(f"http://example.com/{page}")
    reference = f"/{reference}" if rooted else reference
    expected = urljoin(f"{base.origin}{base.path}", reference)
    assert urls.normalise(reference, base=base) == expected


ANYTHING = st.text(max_size=30) | st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["http://", "https:", "//", "/", "", "HTTP:\\\\"]),
    st.sampled_from(["a.com", "ä.de", "1.2", "[::1]", "a.com:81", "%41.com", "..", ""]),
    st.sampled_from(["/", "/../", "\\", "?", "#", "/%2e/"]),
    st.text(max_size=12),
)


@settings(max_examples=300, deadline=None)
@given(ANYTHING)
def test_normalising_twice_changes_nothing(reference: str) -> None:
    try:
        url = urls.normalise(reference, base=BASE)
    except urls.BadURL:
        return
    assert url.isascii()
    assert urls.normalise(url) == url
    assert urls.normalise(url, base=BASE) == url
    assert urls.base_of(url).origin == urls.origin_and_path(url)[0]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=12))
def test_escapes_of_any_text_stay_what_they_are(text: str) -> None:
    url = f"http://a.com/x{quote(text, safe='')}"
    assert urls.normalise(url) == url or "%2E" in url


def test_key_host_and_port() -> None:
    url = "https://img.example.com:8443/a?b"
    digest = hashlib.sha256(url.encode()).hexdigest()
    assert urls.url_key(url) == int(digest[:16], 16)
    assert (urls.host_of(url), urls.port_of(url)) == ("img.example.com", 8443)
    assert urls.port_of("http://a.com/") == 80
    assert urls.host_of("http://[::1]:80/") == "::1"
    assert urls.origin_and_path(url) == ("https://img.example.com:8443", "/a?b")
