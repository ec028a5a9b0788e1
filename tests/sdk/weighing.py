"""What every SDK test asserts beside the SDK's own view: the rows, against what the cloud stated, to the unit.

A test makes its calls and then asks for their rows by ``booked``, ``rows`` or ``nothing_booked``; whatever no test
has asked for is an error at the end of the run: nobody's call may leave a row behind unseen.
"""

import asyncio
import base64
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway import app as composition
from gateway.commands.demo.scripted import Asked
from gateway.kernel.clock import SystemClock
from gateway.ledger.entry import Entry
from gateway.quota.budget import Budget, Scope
from gateway.storage.directory import MadeKey, NewKey
from gateway.storage.engine import Database
from gateway.storage.ledger import Ledger
from tests.sdk.cloud import Cloud, Units
from tests.serving import CREDENTIAL, Running, deployments

QUIET_SECONDS: Final = (
    0.15  # several flushes at the tests' pace: a row that was settled is in the ledger
)
ROWS_SECONDS_MAX: Final = 10
LATE_US: Final = 30_000_000  # a row may come in after rows of later requests: so far back is looked
BIG: Final = "A lorry drives across, and nothing is unloaded. " * 60
"""A prompt long enough for the cloud to state a cached part."""

# Nothing listens on port 9 of loopback; a small limit on bodies makes one that is too large cheap.
SETTINGS: Final = """
[limits]
body_mib = 1

[upstreams.gone]
provider = "azure"
base_url = "http://127.0.0.1:9"
credential = { type = "api_key", key = "${env:TEST_CREDENTIAL}" }

[[deployments]]
name = "gone"
upstream = "gone"
model = "gpt-4o"
scope = "global"
"""
# The cloud refuses names that end in a status: each of these is served under another name, its second place.
_SPARES: Final = (
    ("spare-429", "azure-test", "gpt-4o", "gpt-4o"),
    ("spare-v1-503", "azure-test", "gpt-4o", "gpt-4o"),
    ("spare-twice-429", "azure-test", "gpt-4o", "gpt-4o-503"),
    ("spare-gone", "gone", "gpt-4o", "gpt-4o"),
    ("spare-claude-503", "azure-test", "claude-sonnet-5", "claude-sonnet-5"),
    ("spare-nova-503", "runtime-test", "amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
    ("spare-gemini-429", "gemini-test", "gemini-2.5-flash", "gemini-2.5-flash"),
)
SPARES: Final = "".join(
    f'\n[[deployments]]\nname = "{name}"\nupstream = "{upstream}"\nmodel = "{model}"\n'
    + ('scope = "global"\n' if "nova" not in name else "")
    + f'[[deployments.also]]\nupstream = "{upstream.replace("gone", "azure-test")}"\nname = "{second}"\n'
    + ('scope = "global"\n' if "nova" not in name else "")
    for name, upstream, model, second in _SPARES
)
DEPLOYMENTS: Final = (SETTINGS + SPARES) + deployments(
    ("gpt-4o", "gpt-4o-2024-11-20", "global"),
    ("chat-prod", "gpt-4o", "global"),
    ("gpt-4o-old", "gpt-4o", "global"),
    ("gpt-4o-429", "gpt-4o", "global"),
    ("gpt-4o-503", "gpt-4o", "global"),
    ("gpt-unpriced", "gpt-unpriced", "global"),
    ("team/gpt 4o.ü", "gpt-4o", "global"),
    ("gpt-5.4", "gpt-5.4", "global"),
    ("gpt-35-turbo-instruct", "gpt-4o-mini", "global"),
    ("text-embedding-3-small", "text-embedding-3-small", "global"),
    ("gpt-image-1", "gpt-image-1", "global"),
    ("tts-1", "tts-1", "global"),
    ("whisper", "whisper", "global"),
    ("gpt-4o-transcribe", "gpt-4o-transcribe", "global"),
    ("claude-sonnet-5", "claude-sonnet-5", "global"),
    ("claude-sonnet-5-429", "claude-sonnet-5", "global"),
    ("claude-sonnet-5-503", "claude-sonnet-5", "global"),
)

_REFUSED: Final = re.compile(r'weighbridge_refusals_total\{code="(\w+)",[^}]*\} (\d+)')
PEOPLE: Final = {
    "indexer": NewKey(user="user-0002", team="search", cost_centre="4100", app="indexer"),
    "colleague": NewKey(user="user-0006", team="core"),
    "keeper": NewKey(user="user-0007", team="keeping", allow_shared=True),
    "frugal": NewKey(user="user-0008", team="frugal"),
    "broke": NewKey(user="user-0004", team="broke"),
    "rated": NewKey(user="user-0005", team="rated"),
    "narrow": NewKey(user="user-0003", team="support", models=("gpt-4o*", "amazon.nova-*")),
}
BUDGETS: Final = (
    Budget(
        id="bgt-broke",
        name="team broke",
        scope=Scope(team="broke"),
        measure="usd_net",
        limit=1,
        window="month",
    ),
    Budget(
        id="bgt-frugal",
        name="team frugal",
        scope=Scope(team="frugal"),
        measure="usd_net",
        limit=200_000_000,  # nano-USD: less than ten sessions of code, more than three
        window="month",
    ),
    Budget(
        id="bgt-rated",
        name="team rated",
        scope=Scope(team="rated"),
        measure="requests",
        limit=120,  # one every half second
        window="minute",
        burst_percent=1,
    ),
)
OWNER: Final = NewKey(user="user-0001", team="core")


C = TypeVar("C")


class Opened(Protocol):
    """The fixture of that name."""

    def __call__(self, client: C) -> C:
        """The same client, closed after the test."""
        ...


class Weighed(msgspec.Struct, frozen=True):
    """A row beside the request it was made for, as the cloud saw it, and the units the cloud stated."""

    row: Entry
    asked: Asked
    units: Units


class Weighing:
    """The running gateway, the cloud behind it, the keys, and the rows that no test has looked at yet."""

    def __init__(self, running: Running, cloud: Cloud) -> None:
        self.running = running
        self.cloud = cloud
        self.key = running.key
        self._runner = asyncio.Runner()
        self._database = Database(running.config.database_url())
        self.keys = self._runner.run(self._made())
        time.sleep(QUIET_SECONDS * 3)  # the running gateway reads new keys every few moments
        self._seen: set[object] = set()
        self._since_us = 0
        self._asked = 0
        self.unclaimed = 0
        self._owners = {
            self.key.key_id: OWNER,
            **{made.key_id: PEOPLE[name] for name, made in self.keys.items()},
        }

    @property
    def url(self) -> str:
        return self.running.url

    @property
    def azure(self) -> str:
        return f"{self.url}/azure"

    @property
    def bedrock(self) -> str:
        return f"{self.url}/bedrock"

    @property
    def google(self) -> str:
        return f"{self.url}/google"

    # -- rows ------------------------------------------------------------------------------------

    def booked(self, **expected: Any) -> Entry:
        """The one row of the one call since the last look, checked whole; ``expected``: fields besides."""
        (weighed,) = self.rows(1)
        self.check(weighed, **expected)
        return weighed.row

    def rows(self, count: int) -> list[Weighed]:
        """The rows since the last look: exactly so many, in order, each beside its request."""
        found = self._runner.run(self._fresh(count))
        self._looked_at(found)
        asked, truth = self.cloud.asked[self._asked :], self.cloud.truth[self._asked :]
        self._asked = len(self.cloud.asked)
        billed = [(a, units) for a, units in zip(asked, truth, strict=True) if units is not None]
        assert len(found) == count, [(row.operation, row.status, row.outcome) for row in found]
        assert len(billed) == count, [one.path for one, _ in billed]
        for each in asked:
            self.assert_no_gateway_credential(each)
            assert_upstream_credential(each)
        return [Weighed(row, *one) for row, one in zip(found, billed, strict=True)]

    def nothing_booked(self) -> None:
        """What was called since the last look is free, or was refused."""
        time.sleep(QUIET_SECONDS)
        assert self.rows(0) == []

    def refusals(self) -> Counter[str]:
        """How often the gateway itself has refused so far, by code."""
        with urllib.request.urlopen(f"{self.url}/-/metrics", timeout=5) as answer:
            text = answer.read().decode()
        found: Counter[str] = Counter()
        for code, count in _REFUSED.findall(text):
            found[code] += int(count)
        return found

    def forget(self) -> None:
        """What a failed test has left behind is not the next one's; it is counted."""
        left = self._runner.run(self._fresh(0))
        self.unclaimed += len(left)
        self._looked_at(left)
        self._asked = len(self.cloud.asked)

    async def _fresh(self, count: int) -> list[Entry]:
        deadline = time.monotonic() + ROWS_SECONDS_MAX
        ledger = Ledger(self._database)
        while True:
            rows = [
                row
                async for row in ledger.usage(since_us=self._since_us)
                if row.id not in self._seen
            ]
            if len(rows) >= count or time.monotonic() > deadline:
                return rows
            await asyncio.sleep(0.02)

    def _looked_at(self, rows: list[Entry]) -> None:
        self._seen |= {row.id for row in rows}
        self._since_us = max([self._since_us, *(row.occurred_us - LATE_US for row in rows)])

    async def _made(self) -> dict[str, MadeKey]:
        directory = composition.directory(self.running.config, self._database, SystemClock())
        return {name: await directory.create(new) for name, new in PEOPLE.items()}

    def close(self) -> None:
        """Let go of the database; the gateway goes on."""
        self._runner.run(self._database.close())
        self._runner.close()

    # -- laws ------------------------------------------------------------------------------------

    def check(self, weighed: Weighed, **expected: Any) -> None:
        """A row says exactly what the cloud stated, at the book's prices, for the owner of the key."""
        row = weighed.row
        weight = {line.unit: line.quantity for line in row.lines}
        assert weight == weighed.units, (weight, weighed.units, row.provenance, row.flags)
        wanted: dict[str, Any] = {
            "status": 200,
            "outcome": "complete",
            "provenance": "reported",
            "price_status": "priced",
            "stream": weighed.asked.streamed,
            "tier": "standard",
            "flags": (),
            **expected,
        }
        told = msgspec.structs.asdict(row)
        found = {name: told[name] for name in wanted}
        assert found == wanted, {n: (found[n], wanted[n]) for n in wanted if found[n] != wanted[n]}
        self._check_owner(row)
        self._check_money(row)

    def _check_owner(self, row: Entry) -> None:
        owner = self._owners[row.key_id]
        attribution = (row.org, row.user, row.team, row.cost_centre, row.app)
        assert attribution == (owner.org, owner.user, owner.team, owner.cost_centre, owner.app)

    def _check_money(self, row: Entry) -> None:
        prices = {price.price_id(): price for price in self.running.gateway.book.rows}
        for line in row.lines:
            if line.price_id is not None:
                price = prices[line.price_id]
                assert line.list_pico is not None
                assert (
                    abs(2 * (line.list_pico * price.per - line.quantity * price.pico)) <= price.per
                )
        if row.price_status == "priced":
            assert row.list_pico == sum(line.list_pico or 0 for line in row.lines) > 0

    # -- secrets ---------------------------------------------------------------------------------

    def secrets(self) -> list[bytes]:
        """Whatever is ours alone: keys, access key ids, secrets."""
        return [
            secret.encode()
            for made in (self.key, *self.keys.values())
            for secret in (made.key, made.aws_access_key_id, made.aws_secret_access_key)
        ]

    def assert_no_gateway_credential(self, asked: Asked) -> None:
        """Nothing of a gateway key, however it was presented, is in what the cloud received."""
        whole = b"\n".join(
            [
                asked.path.encode(),
                *(name + b": " + value for name, value in asked.headers),
                asked.body,
            ]
        )
        for secret in self.secrets():
            assert secret not in whole
            assert base64.b64encode(secret) not in whole
        assert b"wb_" not in whole


def assert_upstream_credential(asked: Asked) -> None:
    """The cloud got our credential, in the one header it looks for, and no other."""
    headers = dict(asked.headers)
    if asked.path.startswith(("/openai/", "/models/")) and b"api-key" in headers:
        assert headers[b"api-key"] == CREDENTIAL.encode()
    elif (headers.get(b"authorization") or b"").startswith(b"AWS4-HMAC-SHA256"):
        assert_signed(asked)
    elif b"/projects/" in asked.path.encode():
        assert headers[b"authorization"] == b"Bearer " + CREDENTIAL.encode()
    elif asked.path.startswith("/anthropic/"):
        assert headers[b"api-key"] == CREDENTIAL.encode()
    else:
        assert headers[b"x-goog-api-key"] == CREDENTIAL.encode()
    known = (b"authorization", b"api-key", b"x-api-key", b"x-goog-api-key")
    assert sum(name in known for name, _ in asked.headers) == 1


def assert_signed(asked: Asked) -> None:
    """botocore, given our upstream secret, finds the same signature for what the cloud received."""
    headers = {name.decode(): value.decode() for name, value in asked.headers}
    claim = headers["authorization"]
    key_id, day, region, service, _ = claim.split("Credential=")[1].split(",")[0].split("/")
    signed = claim.split("SignedHeaders=")[1].split(",")[0].split(";")
    assert key_id == "AKIATEST"
    url = f"http://{headers['host']}{asked.path}"
    request = AWSRequest(method=asked.method, url=url, data=asked.body)
    for name in signed:
        request.headers[name] = headers[name]
    request.context["timestamp"] = headers["x-amz-date"]
    oracle = SigV4Auth(Credentials("AKIATEST", CREDENTIAL), service, region)
    text = oracle.string_to_sign(request, oracle.canonical_request(request))
    assert claim.split("Signature=")[1] == oracle.signature(text, request)
    assert headers["x-amz-date"].startswith(day)


def stated(weighed: Sequence[Weighed]) -> Units:
    """The units of several calls together."""
    total: Units = {}
    for each in weighed:
        for unit, count in each.units.items():
            total[unit] = total.get(unit, 0) + count
    return total
