"""Sessions over WebSockets, opened by the SDKs, or as they do it: a clear refusal in their own protocol, and nothing booked."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.sdk.weighing import Weighing


async def realtime(weighing: Weighing) -> None:
    async with (
        openai.AsyncOpenAI(
            base_url=f"{weighing.azure}/openai/v1", api_key=weighing.key.key
        ) as client,
        client.realtime.connect(model="gpt-realtime"),
    ):
        raise AssertionError("it was opened")


async def responses(weighing: Weighing) -> None:
    async with (
        openai.AsyncOpenAI(
            base_url=f"{weighing.azure}/openai/v1", api_key=weighing.key.key
        ) as client,
        client.responses.connect(),
    ):
        raise AssertionError("it was opened")


async def live(weighing: Weighing) -> None:
    # As google-genai does, which uses this library but speaks TLS to whatever base URL it is given.
    url = weighing.google.replace("http", "ws", 1)
    method = "google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
    headers = {"x-goog-api-key": weighing.key.key}
    async with connect(f"{url}/ws/{method}", additional_headers=headers):
        raise AssertionError("it was opened")


Session = Callable[[Weighing], Awaitable[None]]


def refused(session: Session, weighing: Weighing) -> tuple[int, Any]:
    """Status and error of the refusal that the SDK raised, or stands behind what it raised."""

    async def open_one() -> None:
        await session(weighing)

    with pytest.raises(Exception, match="40") as caught:
        asyncio.run(open_one())
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, InvalidStatus):
        error = error.__cause__ or error.__context__
    assert error is not None, repr(caught.value)
    body = error.response.body
    assert body is not None
    return error.response.status_code, json.loads(body)["error"]


@pytest.mark.parametrize("house", ["weighing", "over_http2"])
@pytest.mark.parametrize(
    ("session", "reason"),
    [(realtime, "realtime does not"), (responses, "WebSockets do not"), (live, "Live does not")],
)
def test_a_session_is_refused_as_what_cannot_be_metered(
    session: Session, reason: str, house: str, request: pytest.FixtureRequest
) -> None:
    weighing: Weighing = request.getfixturevalue(house)
    status, error = refused(session, weighing)
    assert status == 403
    assert error["message"].startswith(reason)
    if session is live:
        assert error["status"] == "PERMISSION_DENIED"
        assert error["details"][0]["reason"] == "OPERATION_REFUSED"
    else:
        assert (error["code"], error["type"]) == ("operation_refused", "permission_error")
    weighing.nothing_booked()
