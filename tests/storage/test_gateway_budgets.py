"""Budgets on a running gateway, on each store: never overrun, refused in figures, given back, and equal to the rows."""

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson

from gateway import app as composition
from gateway.quota.budget import Budget, Scope
from gateway.storage.ledger import Ledger
from tests.serving import RawUpstream, Running, Script, deployments, raw_exchange, serving

EXTRA = deployments(("gpt-4o", "gpt-4o-2024-11-20", "global"))
CEILING = 10
CHAT = (
    b'{"id":"c","object":"chat.completion","model":"gpt-4o-2024-11-20","choices":[],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":10,"total_tokens":19}}'
)
BODY = orjson.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": CEILING})


def answering() -> RawUpstream:
    return RawUpstream(
        lambda head, body: Script(200, [("content-type", "application/json")], [CHAT])
    )


def request(key: str, body: bytes = BODY) -> bytes:
    head = (
        "POST /azure/openai/deployments/gpt-4o/chat/completions?api-version=1 HTTP/1.1\r\nhost: x\r\n"
        f"api-key: {key}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def budget(name: str, measure: str, limit: int, **more: object) -> Budget:
    fields = {"scope": Scope(), "window": "month", **more}
    return Budget(id=name, name=name, measure=measure, limit=limit, **fields)  # type: ignore[arg-type]


async def sound(running: Running) -> bool:
    async with composition.opened(running.config) as database:
        return (await Ledger(database).verify()).is_sound


def quiet(running: Running, seconds: float = 10) -> bool:
    """Whether nothing is held any more, in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(one.pending for one in running.counters().values()):
            return True
        time.sleep(0.1)
    return False


def test_forty_at_once_on_a_budget_for_seven_are_seven(url: str, tmp_path: Path) -> None:
    limit = 7 * CEILING
    with (
        answering().running() as base,
        serving(tmp_path, base, EXTRA, database=url) as running,
        ThreadPoolExecutor(40) as pool,
    ):
        running.put_budgets(
            budget("out", "output_tokens", limit, scope=Scope(team="core")),
            budget("money", "usd_net", 10**12),
            budget("at-once", "concurrent", 40, each="key", window="always"),
        )
        raw = request(running.key.key)
        answers = list(pool.map(lambda _: raw_exchange(running.port, raw), range(40)))
        statuses = Counter(int(head.split(b" ")[1]) for head, _, _ in answers)
        assert statuses == {200: 7, 429: 33}
        rows = running.rows(7)
        assert len(rows) == 7
        assert quiet(running)
        counters = running.counters()
        assert (counters["out"].posted, counters["out"].left) == (limit, 0)
        assert counters["money"].posted == sum(-(-(row.net_pico or 0) // 1000) for row in rows)
        assert asyncio.run(sound(running))
        refusal = next(body for head, body, _ in answers if b" 429 " in head)
        details = orjson.loads(refusal)["error"]["weighbridge"]
        assert (details["budget"], details["limit"], details["asked"]) == ("out", "70", "10")


def test_what_was_not_used_is_given_back(url: str, tmp_path: Path) -> None:
    with answering().running() as base, serving(tmp_path, base, EXTRA, database=url) as running:
        running.put_budgets(budget("out", "output_tokens", 1_000))
        wide = orjson.dumps({"messages": [], "max_tokens": 900})
        for done in range(1, 4):
            head, _, _ = raw_exchange(running.port, request(running.key.key, wide))
            assert head.split(b" ")[1] == b"200"
            assert b'x-weighbridge-budgets: "out";left="' in head
            running.rows(done)
            assert quiet(running)
        assert running.counters()["out"].posted == 30


def test_a_provider_that_cannot_be_reached_leaves_nothing_held(url: str, tmp_path: Path) -> None:
    with serving(tmp_path, "http://127.0.0.1:9", EXTRA, database=url) as running:
        running.put_budgets(budget("out", "output_tokens", 1_000))
        assert raw_exchange(running.port, request(running.key.key))[0].split(b" ")[1] == b"502"
        assert quiet(running)
        assert running.rows(1, 0.5) == []
        assert running.counters()["out"].left == 1_000


def test_a_request_at_a_time_is_one_at_a_time_and_free_when_it_has_ended(
    url: str, tmp_path: Path
) -> None:
    gate = threading.Event()

    def slow(head: bytes, body: bytes) -> Script:
        gate.wait(10)
        return Script(200, [("content-type", "application/json")], [CHAT])

    with (
        RawUpstream(slow).running() as base,
        serving(tmp_path, base, EXTRA, database=url) as running,
        ThreadPoolExecutor(2) as pool,
    ):
        running.put_budgets(budget("at-once", "concurrent", 1, each="key", window="always"))
        raw = request(running.key.key)
        first = pool.submit(raw_exchange, running.port, raw)
        time.sleep(0.5)
        head, body, _ = raw_exchange(running.port, raw)
        assert head.split(b" ")[1] == b"429"
        assert b"retry-after: 1" in head
        assert b"all are running" in body
        gate.set()
        assert first.result()[0].split(b" ")[1] == b"200"
        assert raw_exchange(running.port, raw)[0].split(b" ")[1] == b"200"


def test_names_that_only_clients_know_share_one_counter_of_a_budget_for_each_model(
    url: str, tmp_path: Path
) -> None:
    said = b'{"output":{},"stopReason":"end_turn","usage":{"inputTokens":9,"outputTokens":1,"totalTokens":10}}'
    upstream = RawUpstream(
        lambda head, body: Script(200, [("content-type", "application/json")], [said])
    )
    with upstream.running() as base, serving(tmp_path, base, database=url) as running:
        running.put_budgets(budget("calls", "requests", 3, each="model"))
        asked = orjson.dumps({"messages": [{"role": "user", "content": [{"text": "hi"}]}]})
        statuses = []
        for number in range(5):
            head, _, _ = raw_exchange(
                running.port,
                f"POST /bedrock/model/mine-{number}/converse HTTP/1.1\r\nhost: x\r\nauthorization: "
                f"Bearer {running.key.key}\r\ncontent-length: {len(asked)}\r\n\r\n".encode()
                + asked,
            )
            statuses.append(head.split(b" ")[1])
        assert statuses == [b"200"] * 3 + [b"429"] * 2
        running.rows(3)
        assert quiet(running)
        assert {name: one.posted for name, one in running.counters().items()} == {"calls": 3}
        assert asyncio.run(sound(running))
