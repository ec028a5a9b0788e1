"""The same gateway on each store: SQLite embedded, Postgres shared; the rows, the rollup and the keys are the same."""

import asyncio
from pathlib import Path

from gateway import app as composition
from gateway.storage.ledger import Ledger
from tests.serving import RawUpstream, Running, Script, deployments, raw_exchange, serving

CHAT = (
    b'{"id":"c","object":"chat.completion","model":"gpt-4o-2024-11-20","choices":[],'
    b'"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}}'
)


def request(key: str) -> bytes:
    head = (
        "POST /azure/openai/deployments/gpt-4o/chat/completions?api-version=1 HTTP/1.1\r\nhost: x\r\n"
        f"api-key: {key}\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n"
    )
    return head.encode() + b'{"messages":[]}'


async def sound(running: Running) -> bool:
    async with composition.opened(running.config) as database:
        return (await Ledger(database).verify()).is_sound


def test_a_served_request_is_one_row_and_the_rollup_agrees(url: str, tmp_path: Path) -> None:
    upstream = RawUpstream(
        lambda head, body: Script(200, [("content-type", "application/json")], [CHAT])
    )
    extra = deployments(("gpt-4o", "gpt-4o-2024-11-20", "global"))
    with upstream.running() as base, serving(tmp_path, base, extra, database=url) as running:
        for _ in range(5):
            head, body, clean = raw_exchange(running.port, request(running.key.key))
            assert (head.split(b" ")[1], body, clean) == (b"200", CHAT, True)
        rows = running.rows(5)
        assert [row.net_pico for row in rows] == [147_500_000] * 5
        assert asyncio.run(sound(running))


def test_a_revoked_key_is_refused_within_five_seconds(url: str, tmp_path: Path) -> None:
    upstream = RawUpstream(
        lambda head, body: Script(200, [("content-type", "application/json")], [CHAT])
    )
    extra = deployments(("gpt-4o", "gpt-4o-2024-11-20", "global"))

    async def revoke(running: Running) -> None:
        async with composition.opened(running.config) as database:
            await composition.directory(running.config, database, running.gateway.clock).revoke(
                running.key.key_id
            )
        await asyncio.sleep(4)

    with upstream.running() as base, serving(tmp_path, base, extra, database=url) as running:
        assert raw_exchange(running.port, request(running.key.key))[0].split(b" ")[1] == b"200"
        asyncio.run(revoke(running))
        head, body, _ = raw_exchange(running.port, request(running.key.key))
        assert head.split(b" ")[1] == b"401"
        assert b"revoked" in body
        assert running.key.key.encode() not in body
