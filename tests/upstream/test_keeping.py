"""A kept value: one fetch at a time, renewed early, the last good one while it is good."""

import asyncio

import pytest

from gateway.kernel.errors import UpstreamFailed
from gateway.upstream.keeping import COOL_DOWN_US, EARLY_US, SAFETY_US, Dated, Kept
from tests.upstream.scripted import Hands, Watcher, run

HOUR_S = 3600
US = 1_000_000


class Source:
    """Gives numbers 1, 2, … that live ``lives_s``; fails while ``broken``."""

    def __init__(self, clock: Hands, lives_s: int | None = HOUR_S) -> None:
        self.clock = clock
        self.lives_s = lives_s
        self.asked = 0
        self.broken = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self) -> Dated[int]:
        self.asked += 1
        await self.gate.wait()
        if self.broken:
            raise UpstreamFailed("cannot be had: do this")
        expires_us = None if self.lives_s is None else self.clock.us + self.lives_s * US
        return Dated(self.asked, expires_us)


def kept(source: Source, watcher: Watcher | None = None) -> Kept[int]:
    return Kept(source.fetch, clock=source.clock, what="it", observer=watcher, nap_s=0.01)


def test_many_who_ask_at_once_cause_one_fetch_and_later_ones_none() -> None:
    async def main() -> None:
        source = Source(Hands())
        it = kept(source)
        source.gate.clear()
        waiting = [asyncio.ensure_future(it.value()) for _ in range(50)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        source.gate.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == [1] * 49
        assert await it.value() == 1
        assert source.asked == 1

    run(main())


def test_a_value_is_used_until_shortly_before_its_end_and_then_fetched_anew() -> None:
    async def main() -> None:
        source = Source(Hands())
        it = kept(source)
        assert await it.value() == 1
        source.clock.us += HOUR_S * US - SAFETY_US - 1
        assert await it.value() == 1
        source.clock.us += 1
        assert await it.value() == 2

    run(main())


@pytest.mark.parametrize("lives_s", [HOUR_S, 120])
def test_the_keeper_renews_before_expiry_while_the_old_value_serves(lives_s: int) -> None:
    async def main() -> None:
        source = Source(Hands(), lives_s)
        it = kept(source)
        keeper = asyncio.ensure_future(it.run())
        await asyncio.sleep(0.05)
        assert source.asked == 1
        early_us = EARLY_US if lives_s == HOUR_S else 60 * US
        source.clock.us += lives_s * US - early_us - 1
        await asyncio.sleep(0.05)
        assert source.asked == 1
        source.gate.clear()
        source.clock.us += 1
        await asyncio.sleep(0.05)
        assert source.asked == 2
        assert await it.value() == 1, "the hot path does not wait for a renewal"
        source.gate.set()
        await asyncio.sleep(0.05)
        assert await it.value() == 2
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)

    run(main())


def test_a_failing_renewal_is_reported_retried_and_the_last_good_value_stays() -> None:
    async def main() -> None:
        watcher = Watcher()
        source = Source(Hands())
        it = kept(source, watcher)
        keeper = asyncio.ensure_future(it.run())
        await asyncio.sleep(0.03)
        source.broken = True
        source.clock.us += HOUR_S * US - EARLY_US
        await asyncio.sleep(0.05)
        assert len(watcher.failures) >= 2
        assert watcher.failures[0][0] == "it"
        assert await it.value() == 1
        source.broken = False
        await asyncio.sleep(0.05)
        assert await it.value() == source.asked > 2
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)

    run(main())


def test_a_failure_is_not_asked_for_again_by_every_caller() -> None:
    async def main() -> None:
        source = Source(Hands())
        source.broken = True
        it = kept(source)
        for _ in range(20):
            with pytest.raises(UpstreamFailed, match="do this"):
                await it.value()
        assert source.asked == 1
        source.clock.us += COOL_DOWN_US
        source.broken = False
        assert await it.value() == 2

    run(main())


def test_what_never_ends_is_fetched_once_and_needs_no_keeper() -> None:
    async def main() -> None:
        source = Source(Hands(), None)
        it = kept(source)
        await asyncio.wait_for(it.run(), 1)
        source.clock.advance(10 * 365 * 86_400)
        assert await it.value() == 1

    run(main())


def test_closing_ends_a_fetch_under_way() -> None:
    async def main() -> None:
        source = Source(Hands())
        source.gate.clear()
        it = kept(source)
        waiting = asyncio.ensure_future(it.value())
        await asyncio.sleep(0)
        await it.aclose()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await it.aclose()

    run(main())
