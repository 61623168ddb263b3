"""Ask the web for one image: politely, safely, within limits of time, bytes and redirects.

Every request goes through the same gate: the host's robots.txt, its turn (requests at once and
pause between them), an address that is globally reachable, and a time budget that redirects,
retries and back-off share. Waiting for a turn costs no budget.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from sauropod import images
from sauropod.config import Ingest
from sauropod.ingest import addresses, http_body, opt_out, robots, urls
from sauropod.ingest.addresses import Place
from sauropod.ingest.resolver import PrivateAddressError, Resolver

REDIRECTS = frozenset((301, 302, 303, 307, 308))
TRANSIENT = frozenset((408, 425, 429, 500, 502, 503, 504))
ROBOTS_BUDGET_S = 20.0
BREAKER = 12
"""Failures to connect or answer, one after the other, after which a host is left alone."""
FIRST_BACKOFF_S = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request gave: a status of schema.STATUS, and the body, or where to go next."""

    status: str
    data: bytes = b""
    redirect: str = ""
    code: int = 0
    retry_after: float = 0.0
    transient: bool = False


class Budget:
    """Seconds one URL may still take."""

    def __init__(self, seconds: float) -> None:
        """Start with all of it."""
        self.left = seconds

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Spend time; raises TimeoutError when none is left."""
        start = time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, self.left)):
                yield
        finally:
            self.left -= time.monotonic() - start


@dataclass(frozen=True, slots=True)
class Permission:
    """A host's robots rules, and the status of the URLs they forbid."""

    rules: robots.Rules
    status: str = "robots"


@dataclass
class Host:
    """How one host is treated: requests at once, pause, failures in a row, its robots rules."""

    turns: asyncio.Semaphore
    delay: float
    next_start: float = 0.0
    failures: int = 0
    robots: dict[str, asyncio.Task[Permission]] = field(default_factory=dict)


class Fetcher:
    """Downloads images; use as an async context manager."""

    def __init__(self, knobs: Ingest, *, places: Mapping[str, Place]) -> None:
        """Prepare; `places` are the hosts-file names, exempt from the address guard."""
        self._knobs = knobs
        self._places = places
        self._agent = knobs.user_agent.partition("/")[0].strip().lower()
        self._slots = asyncio.Semaphore(knobs.concurrency)
        self._hosts: dict[str, Host] = {}
        self._tokens = frozenset(knobs.opt_out_tokens)

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        self._resolver = Resolver(self._places)
        connector = aiohttp.TCPConnector(
            resolver=self._resolver, limit=0, ttl_dns_cache=300, force_close=False
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._knobs.user_agent, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._knobs.connect_timeout_s),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop what still runs and close the pool."""
        tasks = [task for host in self._hosts.values() for task in host.robots.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._session.close()
        await self._resolver.close()

    async def get(self, url: str, *, keep: Callable[[bytes], Awaitable[str]]) -> str:
        """Fetch one normalised URL, following redirects and retrying what may pass.

        Args:
            url: Normalised http(s) URL.
            keep: Takes the body of an answer and says the row's status; called at most once,
                while the download's slot is held, so that bodies in memory are bounded.

        Returns:
            A status of schema.STATUS.
        """
        budget = Budget(self._knobs.deadline_s)
        try:
            for _ in range(self._knobs.max_redirects + 1):
                answer = await self._hop(url, budget=budget, keep=keep)
                if not answer.redirect:
                    return answer.status
                try:
                    url = urls.normalise(answer.redirect, base=urls.base_of(url))
                except urls.BadURL:
                    return "bad_url"
        except TimeoutError:
            return "timeout"
        return "too_many_redirects"

    async def _hop(
        self, url: str, *, budget: Budget, keep: Callable[[bytes], Awaitable[str]]
    ) -> Answer:
        """One URL of a chain of redirects: gate, ask, keep what came."""
        host = self._host(urls.host_of(url))
        refusal = await self._gate(url, host=host)
        if refusal:
            return Answer(refusal)
        return await self._patiently(url, host=host, budget=budget, keep=keep)

    async def _patiently(
        self,
        url: str,
        *,
        host: Host,
        budget: Budget,
        keep: Callable[[bytes], Awaitable[str]] | None,
    ) -> Answer:
        """Ask until it answers or retries run out; without `keep`, for text (robots.txt)."""
        for attempt in itertools.count():
            if host.failures >= BREAKER:
                return Answer("connection_error")
            async with self._turn(host):
                answer = await self._ask(url, budget=budget, host=host, plain=keep is None)
                if answer.data and keep:
                    return Answer(await keep(answer.data))
            if not answer.transient or attempt >= self._knobs.retries:
                return answer
            async with budget.running():
                await asyncio.sleep(self._pause(url, attempt=attempt, answer=answer))
        raise AssertionError

    def _pause(self, url: str, *, attempt: int, answer: Answer) -> float:
        """Exponential back-off, spread by the URL's key; never less than a capped Retry-After."""
        spread = 0.5 + (urls.url_key(url) % 1024) / 1024
        asked = min(answer.retry_after, self._knobs.max_retry_after_s)
        return max(FIRST_BACKOFF_S * 2**attempt * spread, asked)

    async def _gate(self, url: str, *, host: Host) -> str | None:
        """The status that forbids a URL, or None."""
        name = urls.host_of(url)
        if name not in self._places:
            if addresses.refused(name):
                return "private_address"
            if urls.port_of(url) not in (80, 443):
                return "bad_url"
        if self._knobs.honour_robots:
            origin, path = urls.origin_and_path(url)
            if origin not in host.robots:
                host.robots[origin] = asyncio.create_task(self._robots(origin, host=host))
            # The file is fetched once for all who wait; nobody's time-out may cancel it.
            permission = await asyncio.shield(host.robots[origin])
            if not permission.rules.allows(path):
                return permission.status
        return None

    def _host(self, name: str) -> Host:
        if name not in self._hosts:
            turns = asyncio.Semaphore(self._knobs.per_host)
            self._hosts[name] = Host(turns, self._knobs.host_delay_s)
        return self._hosts[name]

    @contextlib.asynccontextmanager
    async def _turn(self, host: Host) -> AsyncIterator[None]:
        """Wait for the host's turn, its pause, and one of the slots for all hosts."""
        async with host.turns:
            now = time.monotonic()
            start = max(now, host.next_start)
            host.next_start = start + host.delay
            if start > now:
                await asyncio.sleep(start - now)
            async with self._slots:
                yield

    async def _robots(self, origin: str, *, host: Host) -> Permission:
        """Fetch and read a host's robots.txt (RFC 9309 section 2.3.1)."""
        url, budget = f"{origin}/robots.txt", Budget(min(ROBOTS_BUDGET_S, self._knobs.deadline_s))
        try:
            for _ in range(self._knobs.max_redirects + 1):
                name = urls.host_of(url)
                if name not in self._places and addresses.refused(name):
                    return Permission(robots.ALLOW_ALL)  # the site's mistake: no file to be had
                target = self._host(name)
                answer = await self._patiently(url, host=target, budget=budget, keep=None)
                if not answer.redirect:
                    return self._permission(answer, host=host)
                url = urls.normalise(answer.redirect, base=urls.base_of(url))
        except TimeoutError:
            return Permission(robots.FORBID_ALL, "timeout")
        except urls.BadURL:
            pass
        return Permission(robots.ALLOW_ALL)

    def _permission(self, answer: Answer, *, host: Host) -> Permission:
        if answer.status == "ok":
            rules = robots.parse(answer.data, agent=self._agent)
            host.delay = max(host.delay, min(rules.crawl_delay, self._knobs.max_crawl_delay_s))
            return Permission(rules)
        if answer.status != "http_error":  # no answer: forbidden, under the name of what is wrong
            return Permission(robots.FORBID_ALL, answer.status)
        missing = 400 <= answer.code < 500 and answer.code != 429
        return Permission(robots.ALLOW_ALL if missing else robots.FORBID_ALL)

    async def _ask(self, url: str, *, budget: Budget, host: Host, plain: bool = False) -> Answer:
        """Send one GET and read the answer. `plain` asks for text (robots.txt), not an image."""
        try:
            async with (
                budget.running(),
                self._session.get(URL(url, encoded=True), allow_redirects=False) as response,
            ):
                answer = await self._read(response, plain=plain)
        except TimeoutError:
            host.failures += 1
            if budget.left <= 0:
                raise
            return Answer("timeout", transient=True)
        except aiohttp.ClientConnectorDNSError as error:
            if isinstance(error.os_error, PrivateAddressError):
                return Answer("private_address")
            host.failures += 1
            return Answer("connection_error", transient=True)
        except aiohttp.ClientResponseError:
            return Answer("http_error")
        except (aiohttp.ClientError, OSError):
            host.failures += 1
            return Answer("connection_error", transient=True)
        except ValueError:
            return Answer("bad_url")
        host.failures = 0
        return answer

    async def _read(self, response: aiohttp.ClientResponse, *, plain: bool) -> Answer:
        """Judge an answer by its headers first; read its body only as far as it is wanted."""
        code = response.status
        if code in REDIRECTS and "Location" in response.headers:
            return Answer("http_error", redirect=response.headers["Location"], code=code)
        if code != 200:
            wait = _retry_after(response.headers.get("Retry-After", ""))
            return Answer("http_error", code=code, retry_after=wait, transient=code in TRANSIENT)
        if plain:
            return Answer("ok", data=await self._body(response, robots.MAX_BYTES), code=code)
        if self._knobs.honour_opt_out and self._opts_out(response):
            return Answer("opt_out")
        if response.content_type in ("text/html", "application/xhtml+xml", "application/json"):
            return Answer("not_an_image")
        limit = self._knobs.max_bytes
        if (response.content_length or 0) > limit:
            return Answer("too_large")
        start = await _start(response)
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding in ("", "identity") and images.magic(start) is None:
            return Answer("not_an_image")
        data = start + await self._body(response, limit + 1 - len(start))
        if encoding not in ("", "identity"):
            data = http_body.decompress(data, encoding=encoding, max_bytes=limit + 1)
        if len(data) > limit:
            return Answer("too_large")
        return Answer("ok", data=data) if data else Answer("not_an_image")

    async def _body(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        """At most `limit` bytes of what is left of the body."""
        parts: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            parts.append(chunk)
            size += len(chunk)
            if size >= limit:
                break
        return b"".join(parts)[:limit]

    def _opts_out(self, response: aiohttp.ClientResponse) -> bool:
        if response.headers.get("tdm-reservation", "").strip() == "1":
            return True
        values = response.headers.getall("X-Robots-Tag", [])
        return opt_out.opted_out(values, agent=self._agent, tokens=self._tokens)


async def _start(response: aiohttp.ClientResponse) -> bytes:
    """The first bytes of a body, enough to tell its format."""
    try:
        return await response.content.readexactly(images.MAGIC_BYTES)
    except asyncio.IncompleteReadError as error:
        return error.partial


def _retry_after(value: str) -> float:
    """Seconds a Retry-After header asks for: a number or an HTTP date."""
    if value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
