"""Hard limits and what nobody can see of a request, on a running gateway: never overrun, and nothing refused that is known to fit."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any, Final

from gateway.ledger.entry import OVER_HOLD
from gateway.quota.budget import Budget, Scope
from tests.serving import RawUpstream, Running, Script, deployments, raw_exchange, serving

EXTRA: Final = deployments(("gpt-4o", "gpt-4o-2024-11-20", "global"))
WINDOW: Final = 128_000  # tokens, of the model
PATH: Final = "/azure/openai/v1/responses"
PDF: Final = b"%PDF-1.7\n<</Type/Pages/Count 3>>" + 3 * b"<</Type/Page>>"


def answering(tokens: int) -> RawUpstream:
    """A provider that read so many tokens, whatever it was asked."""
    usage = {"input_tokens": tokens, "output_tokens": 10, "total_tokens": tokens + 10}
    answer = {
        "id": "resp_1", "object": "response", "status": "completed", "model": "gpt-4o-2024-11-20",
        "output": [], "usage": usage,
    }  # fmt: skip
    raw = json.dumps(answer).encode()
    return RawUpstream(
        lambda head, body: Script(200, [("content-type", "application/json")], [raw])
    )


def asked(running: Running, **more: Any) -> tuple[int, dict[str, Any]]:
    request = {"model": "gpt-4o", "input": "weigh", "max_output_tokens": 100, "store": False}
    body = json.dumps(request | more).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {running.key.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    answered, said, _ = raw_exchange(running.port, head.encode() + body)
    return int(answered.split(b" ")[1]), json.loads(said)


def budget(name: str, limit: int, **more: Any) -> Budget:
    fields = {"scope": Scope(), "measure": "input_tokens", "window": "month", **more}
    return Budget(id=name, name=name, limit=limit, **fields)


def file(**source: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "input_file", **source}]}]


ELSEWHERE: Final = {"input": file(file_url="https://files.example/long.pdf")}
HERE: Final = {
    "input": file(
        filename="a.pdf", file_data="data:application/pdf;base64," + b64encode(PDF).decode()
    )
}


def test_what_nobody_can_see_is_held_at_all_that_the_model_can_read(tmp_path: Path) -> None:
    with (
        answering(WINDOW).running() as base,
        serving(tmp_path, base, EXTRA, single_tenant=True) as running,
    ):
        running.put_budgets(
            budget("in", 2 * WINDOW + 100_000),
            budget(
                "rate", 650_000, window="minute", burst_percent=50
            ),  # slows down, and is not held at that
        )
        for count in (1, 2):  # each turns out to fill the model, and none is over its hold
            status, _ = asked(running, **(ELSEWHERE if count == 1 else {"conversation": "conv_1"}))
            assert status == 200
            assert OVER_HOLD not in running.rows(count)[-1].flags
        # What may be as long does not fit any more; a flat allowance of 32,768 would have let it overrun the limit.
        status, refused = asked(running, **ELSEWHERE)
        assert status == 429
        details = refused["error"]["weighbridge"]
        assert (details["budget"], details["unseen"]) == ("in", 1)
        assert int(details["asked"]) >= WINDOW
        assert "send these in the request itself" in refused["error"]["message"]


def test_what_is_in_the_request_is_held_by_its_size(tmp_path: Path) -> None:
    with (
        answering(3 * 2_481).running() as base,  # as recorded of a page full of tables
        serving(tmp_path, base, EXTRA, single_tenant=True) as running,
    ):
        running.put_budgets(budget("in", 40_000))
        assert asked(running, **ELSEWHERE)[0] == 429
        assert asked(running, **HERE)[0] == 200
        assert OVER_HOLD not in running.rows(1)[0].flags


def test_an_operator_may_let_it_pass_and_is_told_where_it_was_more(tmp_path: Path) -> None:
    extra = EXTRA + "\n[quotas]\nunseen_tokens = 50_000\n"
    with (
        answering(WINDOW).running() as base,
        serving(tmp_path, base, extra, single_tenant=True) as running,
    ):
        running.put_budgets(budget("in", 60_000))
        assert asked(running, **ELSEWHERE)[0] == 200
        assert OVER_HOLD in running.rows(1)[0].flags
