"""Name resolution that only ever answers with globally reachable addresses.

aiohttp connects to exactly the addresses given here: the check is made on what is connected to,
and a second look-up cannot swap in another address.
"""

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

from sauropod.ingest.addresses import Place, is_public

THREADS = 32


class PrivateAddressError(OSError):
    """A name whose every address lies inside some private network."""


class Resolver(AbstractResolver):
    """Resolves through the system, then drops what is not public; hosts-file names come first."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        """Take the hosts-file names; look-ups get threads of their own."""
        self._places = places
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of a host. Raises PrivateAddressError, or OSError when there are none."""
        place = self._places.get(host)
        if place:
            return [_result(host, place.address, place.port)]
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host, port, family)
        public = [address for address in found if is_public(address)]
        if not public:
            raise PrivateAddressError(host)
        return [_result(host, address, port) for address in public]

    async def close(self) -> None:
        """Let go of the look-up threads without waiting for slow name servers."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: int) -> list[str]:
    infos = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def _result(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST,
    )
