"""Write WARC 1.1 archives (ISO 28500): one gzip member per record, bytes fixed by their content."""

import base64
import gzip
import hashlib
import uuid
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


def _digest(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def _moment(second: int) -> str:
    return (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


def record(kind: str, block: bytes, *, second: int, **headers: str) -> bytes:
    """Return one record as a gzip member.

    Args:
        kind: WARC-Type.
        block: The content block.
        second: Seconds after START: the record's date, and part of its keyed id.
        headers: Further fields, underscores for dashes (content_type="...").
    """
    identity = hashlib.blake2b(f"{kind} {second} {headers}".encode() + block, digest_size=16)
    lines = [
        "WARC/1.1",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: <urn:uuid:{uuid.UUID(bytes=identity.digest(), version=4)}>",
        f"WARC-Date: {_moment(second)}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        f"WARC-Block-Digest: {_digest(block)}",
        f"Content-Length: {len(block)}",
    ]
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return gzip.compress(head + block + b"\r\n\r\n", compresslevel=6, mtime=0)


def info(filename: str) -> bytes:
    """Return the warcinfo record that opens an archive."""
    fields = "software: sauropod demo\r\nformat: WARC File Format 1.1\r\nrobots: obey\r\n"
    return record(
        "warcinfo",
        fields.encode(),
        second=0,
        WARC_Filename=filename,
        Content_Type="application/warc-fields",
    )


def exchange(url: str, *, status: str, content_type: str, body: bytes, second: int) -> bytes:
    """Return a request record and its response record."""
    host, _, path = url.removeprefix("http://").partition("/")
    asked = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: demo\r\nAccept: */*\r\n\r\n"
    answer = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nServer: demo\r\n\r\n"
    ).encode() + body
    form = "application/http; msgtype="
    return record(
        "request",
        asked.encode(),
        second=second,
        WARC_Target_URI=url,
        Content_Type=f"{form}request",
    ) + record(
        "response",
        answer,
        second=second,
        WARC_Target_URI=url,
        Content_Type=f"{form}response",
        WARC_Payload_Digest=_digest(body),
    )
