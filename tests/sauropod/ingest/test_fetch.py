"""fetch.py: its parts; the whole is tested by the crawl."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from sauropod.config import Ingest
from sauropod.ingest import fetch
from sauropod.ingest.fetch import Answer, Budget, Fetcher


def test_waiting_outside_costs_no_budget() -> None:
    async def spend() -> float:
        budget = Budget(10.0)
        async with budget.running():
            await asyncio.sleep(0.01)
        left = budget.left
        await asyncio.sleep(0.05)
        assert budget.left == left
        return left

    assert 0 < asyncio.run(spend()) < 9.995


def test_a_spent_budget_is_a_time_out() -> None:
    async def spend() -> None:
        budget = Budget(0.02)
        for _ in range(100):
            async with budget.running():
                await asyncio.sleep(0.005)

    with pytest.raises(TimeoutError):
        asyncio.run(spend())


def test_pauses_grow_and_obey_a_capped_retry_after() -> None:
    async def pauses() -> list[float]:
        fetcher = Fetcher(Ingest(max_retry_after_s=30.0), places={})
        url = "http://a.example/"
        plain = [fetcher._pause(url, attempt=i, answer=Answer("x")) for i in range(3)]
        asked = Answer("x", retry_after=7.0)
        rude = Answer("x", retry_after=1e9)
        return [*plain, *(fetcher._pause(url, attempt=0, answer=a) for a in (asked, rude))]

    first, second, third, asked, rude = asyncio.run(pauses())
    assert 0.25 <= first < 0.75
    assert (second, third) == (2 * first, 4 * first)
    assert (asked, rude) == (7.0, 30.0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", 0.0), ("12", 12.0), ("-5", 0.0), ("soon", 0.0), ("9" * 400, 999_999_999.0)],
)
def test_retry_after(value: str, expected: float) -> None:
    assert fetch._retry_after(value) == expected


def test_retry_after_as_a_date() -> None:
    then = datetime.now(UTC) + timedelta(seconds=100)
    assert 90 < fetch._retry_after(format_datetime(then, usegmt=True)) <= 101
    past = datetime.now(UTC) - timedelta(days=1)
    assert fetch._retry_after(format_datetime(past, usegmt=True)) == 0.0
