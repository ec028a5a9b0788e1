"""A chain of kept answers on a running gateway, on each store: held by what it weighs, after a restart too."""

import itertools
import json
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.ledger.entry import OVER_HOLD
from gateway.quota.budget import Budget, Scope
from tests.serving import RawUpstream, Running, Script, deployments, raw_exchange, serving

EXTRA: Final = deployments(("gpt-4o", "gpt-4o-2024-11-20", "global"))
LONG: Final = 60_000  # tokens of the first answer's prompt: more than any flat allowance
PATH: Final = "/azure/openai/v1/responses"


class KeepingModel:
    """A provider that reads again what it kept: what a turn read is what the one before read and wrote, and nine."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.kept: dict[str, int] = {"": LONG - 9}

    def __call__(self, head: bytes, body: bytes) -> Script:
        asked = json.loads(body)
        read = self.kept[asked.get("previous_response_id", "")] + 9
        name = f"resp_{next(self.numbers)}"
        self.kept[name] = read + 10
        message = {"id": f"msg_{name}", "type": "message", "role": "assistant", "content": []}
        usage = {"input_tokens": read, "output_tokens": 10, "total_tokens": read + 10}
        answer = {
            "id": name, "object": "response", "status": "completed", "model": "gpt-4o-2024-11-20",
            "output": [message], "usage": usage,
        }  # fmt: skip
        return Script(200, [("content-type", "application/json")], [json.dumps(answer).encode()])


def asked(running: Running, before: str | None) -> tuple[int, dict[str, Any]]:
    request = {"model": "gpt-4o", "input": "weigh", "max_output_tokens": 100}
    body = json.dumps(request | ({"previous_response_id": before} if before else {})).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {running.key.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    answered, said, _ = raw_exchange(running.port, head.encode() + body)
    return int(answered.split(b" ")[1]), json.loads(said)


def tokens(limit: int) -> Budget:
    return Budget(
        id="in", name="in", scope=Scope(), measure="input_tokens", limit=limit, window="month"
    )


@pytest.mark.parametrize("single_tenant", [False, True])
def test_a_long_chain_is_held_by_what_it_weighs_wherever_it_goes_on(
    url: str, tmp_path: Path, *, single_tenant: bool
) -> None:
    model = KeepingModel()
    with RawUpstream(model).running() as base:
        with serving(tmp_path, base, EXTRA, database=url, single_tenant=single_tenant) as running:
            status, first = asked(running, None)
            assert status == 200
            running.rows(1)
        # Another process, on another folder: what it knows of the chain is in the database.
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        with serving(elsewhere, base, EXTRA, database=url, single_tenant=single_tenant) as running:
            running.put_budgets(tokens(165_000))
            status, second = asked(running, first["id"])  # 60,019 tokens
            assert status == 200
            row = running.rows(2)[-1]
            assert OVER_HOLD not in row.flags
            # 44,981 are left: room for a flat allowance, and not for what it would read.
            status, refused = asked(running, second["id"])
            assert status == 429
            details = refused["error"]["weighbridge"]
            assert LONG + 38 <= int(details["asked"]) < LONG + 2_000
            assert len(running.rows(2)) == 2
