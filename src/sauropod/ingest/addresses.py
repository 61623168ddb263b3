"""Which network addresses may be connected to: globally reachable ones, and those of a hosts file.

The crawl follows links written by strangers; an address inside this machine's own network must
never be asked for anything (server-side request forgery). The check is on addresses, after names
are resolved, and unwraps the IPv6 forms that carry an IPv4 address.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sauropod.errors import InputError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_UNICAST6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Not global although some Python versions say so: benchmarking, 6to4 relays, IETF protocol blocks.
_REFUSED = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    )
]
_LOCAL_SUFFIXES = (".localhost", ".local", ".localdomain", ".internal", ".intranet", ".lan")
_LOCAL_SUFFIXES += (".home", ".corp", ".home.arpa", ".onion")


@dataclass(frozen=True)
class Place:
    """Where a hosts-file name lives."""

    address: str
    port: int


def is_public(address: str) -> bool:
    """True for a globally reachable unicast address; False for anything else, text included."""
    try:
        ip: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    embedded = _embedded(ip)
    if embedded is not None:
        return is_public(str(embedded))
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _UNICAST6:
        return False
    if any(ip.version == net.version and ip in net for net in _REFUSED):
        return False
    return ip.is_global and not ip.is_multicast


def is_local_name(host: str) -> bool:
    """True for names that mean something inside one network only: localhost, single labels."""
    return "." not in host or host.endswith(_LOCAL_SUFFIXES)


def is_literal(host: str) -> bool:
    """True when the host is an IP address rather than a name."""
    return ":" in host or host.replace(".", "").isdigit()


def refused(host: str) -> bool:
    """True when a URL's host can be refused without asking a name server."""
    return not is_public(host) if is_literal(host) else is_local_name(host)


def read_hosts(paths: Sequence[Path]) -> Mapping[str, Place]:
    """Read hosts files of `ADDR:PORT name name` lines; '#' starts a comment.

    These names, and only these, may live at non-public addresses and odd ports: the machine the
    demo or a test serves them from. Raises InputError on a line that does not parse.
    """
    places: dict[str, Place] = {}
    for path in paths:
        if not path.is_file():
            raise InputError(
                path, expected="a hosts file", found="no such file", fix="check the --hosts flag"
            )
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            words = line.partition("#")[0].split()
            place = _place(words[0]) if words else None
            if words and (place is None or len(words) < 2):
                raise InputError(
                    path,
                    expected="lines like '127.0.0.1:8000 name name'",
                    found=f"line {number}: {line.strip()[:60]!r}",
                    fix="write the address, a colon, the port, then the names",
                )
            if place:
                places.update({name.lower(): place for name in words[1:]})
    return places


def _place(word: str) -> Place | None:
    address, _, port = word.rpartition(":")
    address = address.strip("[]")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return None
    if not (port.isdigit() and 0 < int(port) < 65536):
        return None
    return Place(address, int(port))


def _embedded(ip: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside a mapped, 6to4, Teredo or NAT64 IPv6 address."""
    if isinstance(ip, ipaddress.IPv4Address):
        return None
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
