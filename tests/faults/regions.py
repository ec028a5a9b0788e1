"""Three places of one model on real sockets, and the gateway before them. The origins keep the truth: what each was asked."""

import asyncio
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from gateway.commands.demo import answers
from tests.faults.origin import CLOSE, Origin, Step, json_answer, standing
from tests.faults.streams import CHAT as STREAMED, COUNTS
from tests.faults.visitor import Got, ask, post
from tests.serving import Running, serving

NAMES: Final = ("east", "west", "north")
CALL_ID: Final = "amz-sdk-invocation-id"  # on the row
CALL: Final = "x-call"  # for the origins
TOGETHER_MAX: Final = 40
STALLS_MAX: Final = 5
HEAD_S: Final = 2  # until a head is given up
DEAD_S: Final = (
    1.1  # longer than a request on a connection that was closed before has to wait for that news
)
_UPSTREAM: Final = """
[upstreams.{name}]
provider = "azure"
base_url = "http://127.0.0.1:{port}"
region = "{region}"
abandon = "cancel"
credential = {{ type = "api_key", key = "${{env:TEST_CREDENTIAL}}" }}
"""
_DEPLOYED: Final = """
[limits]
first_byte_seconds = 2
connect_seconds = 10

[failover]
attempts = 3
retry_unanswered = {retry}
open_after_failures = {failures}
open_error_percent = 100
probe_seconds = 1

[[deployments]]
name = "gpt-4o"
upstream = "east"
model = "gpt-4o-2024-11-20"
scope = "global"
{weights[0]}
[[deployments.also]]
upstream = "west"
scope = "global"
{weights[1]}
[[deployments.also]]
upstream = "north"
name = "gpt-4o-north"
scope = "data_zone"
geo = "us"
{weights[2]}
"""
WHOLE: Final = answers.chat("gpt-4o-2024-11-20", COUNTS)
# What a place may do with a request: its steps, and what the gateway may do then.
ANSWERED: Final = ("whole", "streamed", "dies after its first byte")
REFUSED: Final = ("429", "503", "500")
UNANSWERED: Final = ("dead", "silent")


_STEPS: Final[dict[str, Sequence[Step]]] = {
    "whole": json_answer(WHOLE),
    "streamed": STREAMED.steps(),
    "dies after its first byte": [*STREAMED.steps()[:4], CLOSE],
    "dead": [DEAD_S, CLOSE],
    "silent": [HEAD_S + 1.0, CLOSE],
}


def steps(deed: str) -> Sequence[Step]:
    """What a place sends; a deed of digits is a status."""
    if deed.isdigit():
        return json_answer(b'{"error":{"message":"not now"}}', status=int(deed))
    return _STEPS[deed]


class Region(NamedTuple):
    """The gateway and its three places."""

    gateway: Running
    origins: tuple[Origin, ...]

    def metrics(self) -> str:
        with urllib.request.urlopen(f"{self.gateway.url}/-/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    async def call(self, call_id: str, *, stream: bool = True) -> Got:
        body = STREAMED.body if stream else {"messages": STREAMED.body["messages"]}
        return await ask(
            self.gateway.port,
            post(STREAMED.path, body, self.gateway.key.key, {CALL_ID: call_id, CALL: call_id}),
        )


@contextmanager
def region(
    folder: Path,
    url: str = "",
    *,
    retry: bool = False,
    failures: int = 1_000,
    weights: tuple[str, str, str] = ("", "", ""),
    away: str = "",
) -> Iterator[Region]:
    """Three places; ``away``: one of them does not listen."""
    with ExitStack() as stack:
        origins = [
            stack.enter_context(standing(lambda: Origin(lambda _: json_answer(WHOLE)).running()))
            for _ in NAMES
        ]
        text = "".join(
            _UPSTREAM.format(name=name, port=9 if name == away else origin.port, region="eastus2")
            for name, origin in zip(NAMES, origins, strict=True)
        )
        text += _DEPLOYED.format(retry=str(retry).lower(), failures=failures, weights=weights)
        gateway = stack.enter_context(
            serving(folder, f"http://127.0.0.1:{origins[0].port}", text, database=url)
        )
        yield Region(gateway, tuple(origins))


async def asked_all(place: Region, calls: Sequence[str]) -> dict[str, Got]:
    gate = asyncio.Semaphore(TOGETHER_MAX)

    async def one(call: str) -> tuple[str, Got]:
        async with gate:
            got = await place.call(call)
            for _ in range(STALLS_MAX):
                if b"the store of budgets cannot be asked" not in got.body:
                    break
                got = await place.call(
                    call
                )  # the machine stood still for seconds: nothing was sent
            return call, got

    return dict(await asyncio.gather(*map(one, calls)))
