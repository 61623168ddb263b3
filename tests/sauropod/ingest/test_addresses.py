"""addresses.py: every private range and every way to hide one."""

from pathlib import Path

import pytest

from sauropod.errors import InputError
from sauropod.ingest import addresses
from sauropod.ingest.addresses import Place

PRIVATE = """
0.0.0.0 10.0.0.1 100.64.0.1 127.0.0.1 127.255.255.255 169.254.169.254 172.16.0.1 192.0.0.1
192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1
255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1
64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1:: 2002:a00:1:: 3fff::1 fc00::1 fd00::1
fe80::1 fe80::1%eth0 fec0::1 ff02::1 nonsense
"""
PUBLIC = "8.8.8.8 172.32.0.1 2606:4700::1111 ::ffff:8.8.8.8 2002:808:808:: 64:ff9b::808:808"


@pytest.mark.parametrize("address", PRIVATE.split())
def test_private(address: str) -> None:
    assert not addresses.is_public(address)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public(address: str) -> None:
    assert addresses.is_public(address)


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("intranet", True),
        ("printer.local", True),
        ("metadata.google.internal", True),
        ("10.0.0.1", True),
        ("::1", True),
        ("8.8.8.8", False),
        ("example.com", False),
        ("localhost.example.com", False),
    ],
)
def test_hosts_refused_unasked(host: str, refused: bool) -> None:
    assert addresses.refused(host) is refused


def test_hosts_file(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("# c\n127.0.0.1:8000 A.test b.test # d\n\n[::1]:81 c.test\n")
    assert addresses.read_hosts([path]) == {
        "a.test": Place("127.0.0.1", 8000),
        "b.test": Place("127.0.0.1", 8000),
        "c.test": Place("::1", 81),
    }
    assert addresses.read_hosts([]) == {}


@pytest.mark.parametrize("line", ["127.0.0.1 a", "127.0.0.1:x a", "host:80 a", "127.0.0.1:80"])
def test_a_bad_hosts_file_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "hosts"
    path.write_text(line)
    with pytest.raises(InputError, match="line 1"):
        addresses.read_hosts([path])
    with pytest.raises(InputError, match="no such file"):
        addresses.read_hosts([tmp_path / "none"])
