"""A web server of the demo site: every host by its Host header, misbehaving where it is told to.

`<site>/<host>/<path>` are the files. `<site>/behaviours.json` says, per host, what static files
cannot: a list of rules `{"path": glob, ...}` of which the first that matches is applied:

    headers   extra response headers                 status    answer with this status and no body
    location  redirect there (with status, or 302)   delay_s   wait before answering
    bytes     answer with so many bytes, a JPEG's     chunked   without Content-Length
              first ones and zeros
"""

import contextlib
import json
import mimetypes
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sauropod.errors import InputError
from sauropod.io import replacing

BLOCK = 1 << 16
JPEG_START = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
Rule = dict[str, Any]


class Site(ThreadingHTTPServer):
    """Serves one site folder on a free loopback port, one daemon thread per connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, root: Path) -> None:
        """Listen; `root` must hold one folder per host.

        Raises:
            InputError: there is no host folder below `root`, or behaviours.json is not readable.
        """
        self.root = root.resolve()
        fix = "run demo.py first, and give its `site` folder"
        folders = sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
        if not folders:
            raise InputError(root, expected="a folder per host", found="none", fix=fix)
        self.hosts = folders
        rules = root / "behaviours.json"
        try:
            self.rules: dict[str, list[Rule]] = json.loads(rules.read_text())
        except (OSError, ValueError) as error:
            raise InputError(rules, expected="JSON rules", found=str(error), fix=fix) from error
        self.stopping = threading.Event()
        super().__init__(("127.0.0.1", 0), _Visitor)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet about clients that hang up."""

    def hosts_lines(self) -> str:
        """Return the hosts file: `ADDRESS:PORT host host ...`."""
        return f"127.0.0.1:{self.server_address[1]} {' '.join(self.hosts)}\n"


class _Visitor(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120
    server: Site

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing: a crawl asks thousands of times."""

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._answer(with_body=False)

    def do_GET(self) -> None:
        """Answer with a file, or as the rules say."""
        self._answer(with_body=True)

    def _rule(self, host: str, path: str) -> Rule:
        rules = self.server.rules.get(host, [])
        return next((rule for rule in rules if fnmatchcase(path, rule["path"])), {})

    def _answer(self, *, with_body: bool) -> None:
        host = self.headers.get("Host", "").partition(":")[0].lower()
        path = unquote(self.path.partition("?")[0].partition("#")[0])
        rule = self._rule(host, path)
        # Waiting on the event lets a stopping server end at once.
        if self.server.stopping.wait(rule.get("delay_s", 0)):
            return
        with contextlib.suppress(OSError):
            if "bytes" in rule:
                self._oversize(rule, with_body=with_body)
            elif "location" in rule or "status" in rule:
                self._empty(rule)
            else:
                self._file(host, path, rule, with_body=with_body)

    def _empty(self, rule: Rule) -> None:
        self.send_response(rule.get("status", 302))
        if "location" in rule:
            self.send_header("Location", rule["location"])
        self._end(rule, "text/html", 0)

    def _end(self, rule: Rule, content_type: str, length: int | None) -> None:
        self.send_header("Content-Type", content_type)
        for name, value in rule.get("headers", {}).items():
            self.send_header(name, value)
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _oversize(self, rule: Rule, *, with_body: bool) -> None:
        chunked = rule.get("chunked", False)
        self.send_response(200)
        self._end(rule, "image/jpeg", None if chunked else rule["bytes"])
        left, start = (rule["bytes"] if with_body else 0), JPEG_START
        while left > 0 and not self.server.stopping.is_set():
            block = start.ljust(BLOCK, b"\0")[:left]
            start = b""
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
            left -= len(block)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _file(self, host: str, path: str, rule: Rule, *, with_body: bool) -> None:
        folder = self.server.root / host
        target = (folder / path.lstrip("/")).resolve()
        inside = host in self.server.hosts and target.is_relative_to(folder)
        target = target / "index.html" if target.is_dir() else target
        if not inside or not target.is_file():
            self.send_response(404)
            self._end({}, "text/html", 0)
            return
        data = target.read_bytes()
        kind = mimetypes.guess_type(target.name)[0] or "application/octet-stream"
        self.send_response(200)
        self._end(rule, kind, len(data))
        if with_body:
            self.wfile.write(data)


@contextlib.contextmanager
def serving(site: Path, hosts: Path) -> Iterator[None]:
    """Serve a site inside the block; the hosts file is whole, and the server listens, before it.

    Args:
        site: Folder with one folder per host and behaviours.json.
        hosts: File to write, `ADDRESS:PORT host host ...`.

    Raises:
        InputError: `site` is not a site.
    """
    with Site(site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        with replacing(hosts) as temporary:
            temporary.write_text(server.hosts_lines())
        try:
            yield
        finally:
            server.stopping.set()
            server.shutdown()
            thread.join()


def serve(site: Path, hosts: Path, *, stop: threading.Event) -> None:
    """Serve a site until `stop` is set."""
    with serving(site, hosts):
        stop.wait()


def serve_during(site: Path, command: Sequence[str]) -> int:
    """Serve a site while a command runs, and return the command's exit code.

    The command is given the flag `--hosts FILE` at its end. SIGTERM and SIGINT are passed on to it,
    so that it ends the way it would have ended alone. Call from the main thread.
    """
    with tempfile.TemporaryDirectory() as folder:
        hosts = Path(folder) / "hosts"
        with serving(site, hosts), subprocess.Popen([*command, "--hosts", str(hosts)]) as process:
            before = {
                number: signal.signal(number, lambda told, _: process.send_signal(told))
                for number in (signal.SIGTERM, signal.SIGINT)
            }
            try:
                code = process.wait()
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)
    return code if code >= 0 else 128 - code
