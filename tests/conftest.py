"""What every test shares: no network but loopback, one thread, keyed randomness."""

import socket
from collections.abc import Callable

import pytest
import torch
from hypothesis import settings

LOOPBACK = ("127.", "::1", "localhost")

# Nothing here asserts wall-clock time, on machines of any load; the same examples every time.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to anything but this machine."""
    connect: Callable[..., None] = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            message = f"a test tried to reach {address!r}"
            raise RuntimeError(message)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Keep torch to one thread: tests run beside each other and beside other work."""
    torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--fix`: rewrite the generated files that a test compares with."""
    parser.addoption("--fix", action="store_true", help="rewrite generated files")
