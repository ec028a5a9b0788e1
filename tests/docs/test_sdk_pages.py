"""The SDK pages are run: every set-up with the real SDK against recorded answers, every refusal as it is raised."""

import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.identity import sigv4
from gateway.identity.presented import presented
from gateway.kernel import errors
from gateway.kernel.clock import epoch_us
from gateway.providers import installed
from gateway.providers.contract import Kind, Provider
from gateway.wire.messages import Inbound

ROOT = Path(__file__).resolve().parents[2]
SDK = ROOT / "docs" / "sdk"
TRANSCRIPTS = ROOT / "tests" / "transcripts"
DOCUMENTED_URL = "http://127.0.0.1:8080"
SECRET = "wb_SECRET"
SECONDS_MAX = 90
WAIT_MS = 10  # a documented number of requests does not need the waits between them


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Server(ThreadingHTTPServer):
    """Keeps what it is sent, and answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[Inbound] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, inbound: Inbound) -> Answer:
        raise NotImplementedError


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        path, _, query = self.path.partition("?")
        headers = tuple((k.lower().encode(), v.encode()) for k, v in self.headers.items())
        inbound = Inbound(b"POST", path.encode(), query.encode(), headers, body)
        assert isinstance(self.server, Server)
        self.server.seen.append(inbound)
        said = self.server.answer(inbound)
        self.send_response(said.status)
        for name, value in said.headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(said.body)))
        self.end_headers()
        self.wfile.write(said.body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def serving(server: Server) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def mounted(path: bytes) -> Provider:
    return next(p for p in installed() if path.split(b"/")[1] == p.mount[1:])


def run(told: object) -> list[dict[str, Any]]:
    """The results of a process of its own, with nothing of the machine's environment but its path."""
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", ROOT / "tests" / "docs" / "sdk_calls.py"],
        input=json.dumps(told), env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


# ── set-ups ──────────────────────────────────────────────────────────────────────────────────────


class SetUp(NamedTuple):
    transcript: str
    environment: dict[str, str]
    code: str


BLOCK = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def set_ups(page: str) -> Iterator[SetUp]:
    """Blocks with ``run=<transcript>``; the environment is the last ``env`` block under the same heading."""
    text = (SDK / f"{page}.md").read_text(encoding="utf-8")
    for part in re.split(r"^## ", text, flags=re.MULTILINE):
        environment: dict[str, str] = {}
        for language, told, body in BLOCK.findall(part):
            if (language, told) == ("sh", "env"):
                pairs = re.findall(r"^export (\w+)=(.*)$", body, re.MULTILINE)
                environment = {name: value.strip('"') for name, value in pairs}
            elif language == "python":
                assert told.startswith("run="), "a block that is not run"
                yield SetUp(told[4:], environment, body)


class Replaying(Server):
    """Answers with a transcript."""

    def __init__(self, case: str) -> None:
        super().__init__()
        head = json.loads((TRANSCRIPTS / f"{case}.meta.json").read_text())["http"]
        headers = [(str(name), str(value)) for name, value in head["headers"]]
        body = (TRANSCRIPTS / f"{case}.response").read_bytes()
        self.recorded = Answer(head["status"], headers, body)

    def answer(self, inbound: Inbound) -> Answer:
        return self.recorded


PAGES_RUN = [page.stem for page in sorted(SDK.glob("*.md")) if list(set_ups(page.stem))]


def test_every_python_sdk_has_a_page_that_is_run() -> None:
    assert PAGES_RUN == ["anthropic", "boto3", "google-genai", "langchain", "openai-azure"]


@pytest.mark.parametrize("page", PAGES_RUN)
def test_a_documented_set_up_arrives_with_its_key_and_reads_the_answer(page: str) -> None:
    there = list(set_ups(page))
    with ExitStack() as stack:
        servers = [Replaying(one.transcript) for one in there]
        for server in servers:
            stack.enter_context(serving(server))
        told = [aimed(one, server.url) for one, server in zip(there, servers, strict=True)]
        results = run({"set_ups": told})
    for one, server, result in zip(there, servers, results, strict=True):
        assert not result["failure"], f"{one.code}\n{result['failure']}"
        assert result["said"].strip(), one.code
        assert len(server.seen) == 1, one.code
        check_request(server.seen[0], one.transcript)


def aimed(one: SetUp, url: str) -> dict[str, object]:
    environment = {
        name: text.replace(DOCUMENTED_URL, url) for name, text in one.environment.items()
    }
    return {"environment": environment, "code": one.code.replace(DOCUMENTED_URL, url)}


def check_request(inbound: Inbound, transcript: str) -> None:
    """It is metered, names a model, is the operation that was recorded, and carries its key."""
    provider = mounted(inbound.raw_path)
    call = provider.recognise(inbound)
    assert call.kind is Kind.METERED
    assert call.dialect is not None
    request = call.dialect.read_request(inbound.body, b"application/json")
    assert call.wire_model or request.model
    if transcript.startswith(provider.name):
        recorded = json.loads((TRANSCRIPTS / f"{transcript}.request.json").read_text())
        assert call.operation == operation_of(provider, recorded["target"])
    check_credential(inbound, provider)


def operation_of(provider: Provider, target: str) -> str:
    path, _, query = target.partition("?")
    return provider.recognise(Inbound(b"POST", path.encode(), query.encode(), (), b"{}")).operation


def check_credential(inbound: Inbound, provider: Provider) -> None:
    shown = presented(inbound.headers, "wb_")
    if not shown.signed:
        assert shown.key == "wb_KEY"
        return
    claim = sigv4.parse_authorization(inbound.headers)
    assert claim is not None
    now_us = epoch_us(datetime.now(UTC))
    sigv4.verify(inbound, claim, SECRET, now_us, services=provider.signing_services)


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────


class Line(NamedTuple):
    code: str
    raised: str
    status: int
    requests: int


def tables() -> dict[str, list[Line]]:
    """SDK → the lines of its table."""
    found: dict[str, list[Line]] = {}
    for page in sorted(SDK.glob("*.md")):
        sdk = ""
        for text in page.read_text(encoding="utf-8").splitlines():
            cells = [cell.strip(" `") for cell in text.strip("|").split("|")]
            head = re.fullmatch(r"\| Code \| `([\w-]+)` raises \| Status \| Requests made \|", text)
            if head:
                sdk = head[1]
                found[sdk] = []
            elif not text.startswith("|"):
                sdk = ""
            elif sdk and not text.startswith("|---"):
                found[sdk].append(Line(cells[0], cells[1], int(cells[2]), int(cells[3])))
    return found


def kinds() -> dict[str, type[errors.GatewayError]]:
    everything = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return {k.code: k for k in everything if issubclass(k, errors.GatewayError)}


class Refusing(Server):
    """Answers ``/<code>/<mount>/…`` with the provider's refusal of that code."""

    def answer(self, inbound: Inbound) -> Answer:
        _, code, rest = inbound.raw_path.split(b"/", 2)
        path = b"/" + rest
        below = Inbound(inbound.method, path, inbound.query, inbound.headers, inbound.body)
        provider = mounted(path)
        error = kinds()[code.decode()]("team 'search': the cure", retry_after_ms=WAIT_MS)
        refusal = provider.refuse(error, provider.recognise(below), below, "an-id")
        headers = [(name.decode(), value.decode()) for name, value in refusal.headers]
        return Answer(refusal.status, headers, refusal.body)


@pytest.mark.parametrize("sdk", tables())
def test_a_documented_refusal_is_raised_as_documented(sdk: str) -> None:
    lines = tables()[sdk]
    assert len(lines) >= 10
    server = Refusing()
    with serving(server):
        seen = run({"sdk": sdk, "url": server.url, "codes": [line.code for line in lines]})
    asked = Counter(inbound.raw_path.split(b"/")[1].decode() for inbound in server.seen)
    raised = [Line(one["code"], one["raised"], one["status"], asked[one["code"]]) for one in seen]
    assert raised == lines
    assert all("the cure" in one["said"] for one in seen)
