"""HTTP heads and bodies as archives and servers give them: fields, chunks, compression, limits.

Archives disagree with their own headers (some store bodies already unchunked or decompressed), so
a body that does not decode is taken as it is. Decompression stops at a limit: a small body that
unpacks to gigabytes costs no more than an honest one.
"""

import zlib

import brotli


def fields(head: bytes) -> dict[str, list[str]]:
    """Header fields by lower-case name, in order; the first line and malformed ones left out."""
    out: dict[str, list[str]] = {}
    for line in head.decode("latin-1").splitlines()[1:]:
        name, colon, value = line.partition(":")
        if colon and name and not name[0].isspace():
            out.setdefault(name.strip().lower(), []).append(value.strip())
    return out


def decode(body: bytes, *, fields: dict[str, list[str]], max_bytes: int) -> bytes:
    """Undo Transfer-Encoding and Content-Encoding, at most `max_bytes` of the result."""
    encodings = ",".join(fields.get("content-encoding", [])).lower().split(",")
    if "chunked" in ",".join(fields.get("transfer-encoding", [])).lower():
        body = unchunk(body)
    for encoding in reversed([word.strip() for word in encodings if word.strip()][:3]):
        body = decompress(body, encoding=encoding, max_bytes=max_bytes)
    return body[:max_bytes]


def unchunk(body: bytes) -> bytes:
    """Join a chunked body; what is not chunked after all comes back unchanged."""
    out: list[bytes] = []
    position = 0
    while position < len(body):
        end = body.find(b"\n", position, position + 4096)
        size = body[position:end].partition(b";")[0].strip() if end >= 0 else b""
        if not size or len(size) > 8 or size.strip(b"0123456789abcdefABCDEF"):
            return b"".join(out) if out else body
        length = int(size, 16)
        if length == 0:
            break
        out.append(body[end + 1 : end + 1 + length])
        position = end + 1 + length
        position += 2 if body[position : position + 2] == b"\r\n" else 1
    return b"".join(out)


def decompress(body: bytes, *, encoding: str, max_bytes: int) -> bytes:
    """Undo one content coding; an unknown one, or data it does not fit, comes back unchanged."""
    try:
        if encoding in ("gzip", "x-gzip"):
            return zlib.decompressobj(31).decompress(body, max_bytes) or body
        if encoding == "deflate":
            wbits = 15 if body[:1] and body[0] & 0x0F == 8 and len(body) > 1 else -15
            return zlib.decompressobj(wbits).decompress(body, max_bytes) or body
        if encoding == "br":
            return brotli.Decompressor().process(body, output_buffer_limit=max_bytes) or body
    except (zlib.error, brotli.error):
        pass
    return body
