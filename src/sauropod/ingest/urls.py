"""URLs: resolve a reference against its page, bring it to one normal form, hash it to a key.

The normal form follows RFC 3986 section 6.2.2 and, where browsers differ, the WHATWG URL standard:
lower-case scheme and host, IDNA host, numeric IPv4 hosts in any base as dotted decimal, default
port and fragment dropped, dot segments removed, percent-encoding in upper case and only where
needed. Two spellings a browser fetches as one resource give one string, hence one key. Queries of
pages in a legacy charset are encoded as UTF-8, which browsers would not do.
"""

import hashlib
import ipaddress
import re
from dataclasses import dataclass, field
from functools import lru_cache

import idna

MAX_URL = 4096
"""Longest URL accepted, characters; what is longer is refused as bad_url."""

PORTS = {"http": 80, "https": 443}

# The common case, already normal: nothing to decode, no dot segment, no upper-case host, no port.
_NORMAL = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"
    r"/(?!\.)(?:[A-Za-z0-9_~!$&'()*+,;=:@-]|\.(?!/|\.?(?:[/?]|$))|/(?!\.))*"
    r"(?:\?[A-Za-z0-9._~!$&()*+,;=:@/?-]*)?\Z"
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SPLIT = re.compile(r"([^/?]*)([^?]*)(\?.*)?\Z", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_KEEP_PATH = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,;=:@/%|\[\]]")
_KEEP_QUERY = re.compile(r"[^A-Za-z0-9\-._~!$&()*+,;=:@/?%|\[\]{}^`\\]")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_STRIP = "".join(map(chr, range(33)))
_REMOVE = str.maketrans("", "", "\t\n\r")


class BadURL(ValueError):
    """A reference that is not an http(s) URL we would ever ask for; the message says why."""


@dataclass(frozen=True, slots=True)
class Base:
    """A page's base URL, taken apart once for all its links."""

    scheme: str
    authority: str
    path: str
    query: str

    origin: str = field(init=False)
    folder: str = field(init=False)
    """The path up to and including its last slash."""

    def __post_init__(self) -> None:
        """Join what every relative link of the page starts with."""
        object.__setattr__(self, "origin", f"{self.scheme}://{self.authority}")
        object.__setattr__(self, "folder", self.path[: self.path.rfind("/") + 1])


def base_of(url: str) -> Base:
    """Take an absolute URL apart. Raises BadURL when it is not absolute http(s)."""
    scheme, rest = normalise(url).split("://", 1)
    authority, path, query = _pieces(rest)
    return Base(scheme, authority, path, query)


def normalise(reference: str, *, base: Base | None = None) -> str:
    """Resolve a reference (RFC 3986 section 5.2) and return its normal form.

    Raises BadURL for other schemes, user information, bad hosts or ports, and what is too long.
    """
    guess = _join_simply(reference, base=base) if base else reference
    if _NORMAL.match(guess) and len(guess) <= MAX_URL:
        return guess
    if len(reference) > 4 * MAX_URL:
        raise BadURL("longer than the limit")
    text = reference.strip(_STRIP).translate(_REMOVE).split("#", 1)[0]
    scheme, authority, path, query = _resolve(text, base=base)
    path = _encode(_remove_dots(path), keep=_KEEP_PATH)
    url = (
        f"{scheme}://{_authority(authority, scheme=scheme)}{path}{_encode(query, keep=_KEEP_QUERY)}"
    )
    if len(url) > MAX_URL:
        raise BadURL("longer than the limit")
    return url


def _join_simply(reference: str, *, base: Base) -> str:
    """Resolve the plain cases by pasting; a wrong guess is never in normal form."""
    start = reference[:2]
    if ":" in reference or start == "//" or start[:1] in ("?", ""):
        return reference
    return f"{base.origin}{'' if start[0] == '/' else base.folder}{reference}"


def url_key(url: str) -> int:
    """First 8 bytes of the SHA-256 of the URL, big-endian: a UInt64 that sorts links at random."""
    return int.from_bytes(hashlib.sha256(url.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def host_of(url: str) -> str:
    """The host of a normalised URL, without port or brackets."""
    start = url.index("//") + 2
    authority = url[start : url.index("/", start)]
    return _host_port(authority)[0].strip("[]") if ":" in authority else authority


def port_of(url: str) -> int:
    """The port of a normalised URL."""
    scheme, rest = url.split("://", 1)
    port = _host_port(_pieces(rest)[0])[1]
    return int(port) if port else PORTS[scheme]


def origin_and_path(url: str) -> tuple[str, str]:
    """Split a normalised URL into `scheme://authority` and path with query."""
    scheme, rest = url.split("://", 1)
    authority, path, query = _pieces(rest)
    return f"{scheme}://{authority}", path + query


def _resolve(text: str, *, base: Base | None) -> tuple[str, str, str, str]:
    """Scheme, authority, path and query (with its '?') of a stripped reference."""
    match = _SCHEME.match(text)
    if match:
        scheme, text = match[1].lower(), text[match.end() :]
        if scheme not in PORTS:
            raise BadURL("neither http nor https")
        # WHATWG: "http:a.png" on an http page is relative; any number of slashes opens a host.
        if not (base and base.scheme == scheme and text[:1] not in ("/", "\\")):
            return scheme, *_pieces(_slashes(text).lstrip("/"))
    if base is None:
        raise BadURL("relative without a base")
    text = _slashes(text)
    if text.startswith("//"):
        return base.scheme, *_pieces(text.lstrip("/"))
    if not text:
        return base.scheme, base.authority, base.path, base.query
    if text.startswith("?"):
        return base.scheme, base.authority, base.path, text
    path, mark, query = text.partition("?")
    if not path.startswith("/"):
        path = base.folder + path
    return base.scheme, base.authority, path, mark + query


def _slashes(text: str) -> str:
    """Backslashes before the query as slashes, as browsers read them."""
    if "\\" not in text:
        return text
    path, mark, query = text.partition("?")
    return path.replace("\\", "/") + mark + query


def _pieces(rest: str) -> tuple[str, str, str]:
    """Authority, path ('/' when empty) and query with its '?', of what follows '//'."""
    match = _SPLIT.match(rest)
    assert match
    return match[1], match[2] or "/", match[3] or ""


def _remove_dots(path: str) -> str:
    """RFC 3986 section 5.2.4, with %2e read as a dot."""
    if "." not in path and "%2" not in path:
        return path
    out: list[str] = []
    segments = path.split("/")[1:]
    for i, segment in enumerate(segments):
        plain = segment.replace("%2e", ".").replace("%2E", ".")
        if plain not in (".", ".."):
            out.append(segment)
            continue
        if plain == ".." and out:
            out.pop()
        if i == len(segments) - 1:
            out.append("")
    return "/" + "/".join(out)


def _encode(text: str, *, keep: re.Pattern[str]) -> str:
    """Percent-encode what must be, decode what need not be, spell escapes in upper case."""
    if "%" in text:
        text = _ESCAPE.sub(_unescape, text)
    return keep.sub(_escape, text)


def _unescape(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    return chr(code) if code in _UNRESERVED else match[0].upper()


def _escape(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "replace"))


@lru_cache(maxsize=65536)
def _authority(authority: str, *, scheme: str) -> str:
    """Host in normal form, with the port unless it is the scheme's own."""
    if "@" in authority:
        raise BadURL("user information in the URL")
    host, port = _host_port(authority)
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise BadURL("port out of range")
    host = _host(host)
    return host if not port or int(port) == PORTS[scheme] else f"{host}:{int(port)}"


def _host_port(authority: str) -> tuple[str, str]:
    if authority.startswith("["):
        host, end, rest = authority.partition("]")
        return host + end, rest[1:] if rest.startswith(":") else rest
    host, _, port = authority.partition(":")
    return host, port


def _host(host: str) -> str:
    """A host as it goes on the wire: dotted decimal, bracketed IPv6 or ASCII labels."""
    if host.startswith("["):
        if "%" in host or not host.endswith("]"):
            raise BadURL("not an IPv6 address")
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
        except ValueError:
            raise BadURL("not an IPv6 address") from None
    if "%" in host:
        host = re.sub(r"(?:%[0-9A-Fa-f]{2})+", _decode_run, host)
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True, transitional=False).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise BadURL("host is not a domain name") from None
    labels = host.lower().removesuffix(".").split(".")
    number = _ipv4(labels)
    if number is not None:
        return number
    if len(host) > 253 or not all(map(_LABEL.match, labels)):
        raise BadURL("host is not a domain name")
    return ".".join(labels)


def _decode_run(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "replace")


def _ipv4(labels: list[str]) -> str | None:
    """WHATWG IPv4 parser: 127.1, 0x7f000001 and 017700000001 are all 127.0.0.1."""
    last = labels[-1]
    if not (last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last)):
        return None
    try:
        numbers = [_number(label) for label in labels]
    except ValueError:
        raise BadURL("not an IPv4 address") from None
    room = 256 ** (5 - len(numbers))
    if len(numbers) > 4 or any(n > 255 for n in numbers[:-1]) or numbers[-1] >= room:
        raise BadURL("not an IPv4 address")
    value = numbers[-1] + sum(n << (8 * (3 - i)) for i, n in enumerate(numbers[:-1]))
    return str(ipaddress.IPv4Address(value))


def _number(label: str) -> int:
    if len(label) > 32:
        raise ValueError(label)
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8) if len(label) > 1 and label.startswith("0") else int(label)
