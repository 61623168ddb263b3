"""resolver.py: only public addresses and hosts-file names come out."""

import asyncio
import socket

import pytest

from sauropod.ingest.addresses import Place
from sauropod.ingest.resolver import PrivateAddressError, Resolver


def resolve(host: str, places: dict[str, Place] | None = None) -> list[tuple[str, int, int]]:
    async def ask() -> list[tuple[str, int, int]]:
        resolver = Resolver(places or {})
        try:
            found = await resolver.resolve(host, 80, socket.AF_UNSPEC)
        finally:
            await resolver.close()
        return [(one["host"], one["port"], one["family"]) for one in found]

    return asyncio.run(ask())


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "mixed.example": ["10.0.0.1", "8.8.8.8", "8.8.8.8", "2606:4700::1111", "::1"],
        "private.example": ["192.168.1.1", "fe80::1"],
    }

    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host not in found:
            raise socket.gaierror(host)
        return [(0, 1, 6, "", (address, port)) for address in found[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_private_addresses_are_dropped() -> None:
    assert resolve("mixed.example") == [
        ("8.8.8.8", 80, socket.AF_INET),
        ("2606:4700::1111", 80, socket.AF_INET6),
    ]
    with pytest.raises(PrivateAddressError):
        resolve("private.example")
    with pytest.raises(OSError, match=r"none\.example"):
        resolve("none.example")


def test_hosts_file_names_come_first() -> None:
    places = {"mixed.example": Place("127.0.0.1", 8123), "six.test": Place("::1", 81)}
    assert resolve("mixed.example", places) == [("127.0.0.1", 8123, socket.AF_INET)]
    assert resolve("six.test", places) == [("::1", 81, socket.AF_INET6)]
