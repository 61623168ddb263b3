"""policy.py: blocklists and registered domains."""

from pathlib import Path

import pytest

from sauropod.errors import InputError
from sauropod.ingest import policy


def test_blocklists(tmp_path: Path) -> None:
    domains, patterns = tmp_path / "domains", tmp_path / "urls"
    domains.write_text("# ads\nads.example\n*.Tracker.test\n0.0.0.0 evil.org\nmünchen.de\n")
    patterns.write_text("/banner[0-9]+\\./\npixel.gif?\n")
    rules = policy.read_policy([domains], url_files=[patterns])
    hosts = {
        "ads.example": True,
        "a.b.ads.example": True,
        "notads.example": False,
        "tracker.test": True,
        "evil.org": True,
        "xn--mnchen-3ya.de": True,
        "example": False,
    }
    for host, blocked in hosts.items():
        if host != "example":
            assert rules.host_status(host) == ("blocked_domain" if blocked else "ok")
    assert rules.url_status("http://a.com/banner12.png") == "blocked_domain"
    assert rules.url_status("http://a.com/banner.png") == "ok"
    assert rules.url_status("http://a.com/pixel.gif?1") == "blocked_domain"
    assert rules.url_status("http://a.com/pixelXgif") == "ok"


def test_no_blocklist_blocks_nothing_but_private_hosts() -> None:
    rules = policy.read_policy([], url_files=[])
    assert rules.host_status("example.com") == "ok"
    assert rules.host_status("127.0.0.1") == "private_address"
    assert rules.url_status("http://a.com/") == "ok"


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("img.shop.co.uk", "shop.co.uk"),
        ("example.com", "example.com"),
        ("a.b.github.io", "b.github.io"),
        ("cdn.shop.demo", "shop.demo"),
        ("8.8.8.8", "8.8.8.8"),
        ("2606::1", "2606::1"),
        ("co.uk", "co.uk"),
    ],
)
def test_registered_domain(host: str, domain: str) -> None:
    assert policy.registered_domain(host) == domain


def test_mistakes_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    with pytest.raises(InputError, match="no such file"):
        policy.read_policy([bad], url_files=[])
    bad.write_text("/(/\n")
    with pytest.raises(InputError, match="regular expression"):
        policy.read_policy([], url_files=[bad])
    bad.write_text("not/a domain!\n")
    with pytest.raises(InputError, match="domain per line"):
        policy.read_policy([bad], url_files=[])
