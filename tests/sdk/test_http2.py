"""Experimental: HTTP/2 with prior knowledge, as the AWS SDK for JavaScript speaks it to a plain http address.

That SDK needs Node; its framing is spoken here by the h2 package, its signature (``:authority`` in place of
``host``) is made by botocore.
"""

import json
import socket
from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded
from openai import AzureOpenAI

from gateway.storage.directory import MadeKey
from tests.sdk.weighing import Opened, Weighing

Fields = list[tuple[str, str]]
CLAUDE = "/bedrock/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream"
CHAT = "/azure/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"


def exchanged(port: int, fields: Fields, body: bytes) -> tuple[int, bytes]:
    """One request on a connection of its own that begins with the preface: status and body."""
    connection = H2Connection(H2Configuration(client_side=True))
    connection.initiate_connection()
    connection.send_headers(1, fields)
    connection.send_data(1, body, end_stream=True)
    status, answer = 0, b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        while True:
            client.sendall(connection.data_to_send())
            received = client.recv(65536)
            assert received, "the connection ended before the stream"
            for event in connection.receive_data(received):
                if isinstance(event, ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, DataReceived):
                    answer += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, StreamEnded):
                    return status, answer


def asked(port: int, path: str, *more: tuple[str, str]) -> Fields:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", f"127.0.0.1:{port}"),
        (":path", path),
        ("content-type", "application/json"),
        *more,
    ]


class Signer(SigV4Auth):  # type: ignore[misc]  # botocore ships no types
    """Signs exactly the headers that the request has."""

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        return request.headers


def signature(port: int, path: str, body: bytes, made: MadeKey) -> Fields:
    """The headers that a signing client adds; ``:authority`` is signed, ``host`` is not there."""
    date = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    request = AWSRequest(method="POST", url=f"http://127.0.0.1:{port}{path}", data=body)
    request.context["timestamp"] = date
    # Not by its front door: from Python 3.14 on that takes no name with a colon.
    request.headers._headers.append((":authority", f"127.0.0.1:{port}"))
    request.headers["content-type"] = "application/json"
    request.headers["x-amz-date"] = date
    credentials = Credentials(made.aws_access_key_id, made.aws_secret_access_key)
    signer = Signer(credentials, "bedrock", "us-east-1")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    claim = (
        f"AWS4-HMAC-SHA256 Credential={made.aws_access_key_id}/{date[:8]}/us-east-1/bedrock/"
        f"aws4_request, SignedHeaders=:authority;content-type;x-amz-date, "
        f"Signature={signer.signature(text, request)}"
    )
    return [("x-amz-date", date), ("authorization", claim)]


def test_experimental_http2_a_signed_authority_is_verified_and_the_stream_is_weighed(
    over_http2: Weighing,
) -> None:
    port = over_http2.running.port
    body = json.dumps({"messages": [{"role": "user", "content": [{"text": "weigh"}]}]}).encode()
    signed = signature(port, CLAUDE, body, over_http2.key)
    status, answer = exchanged(port, asked(port, CLAUDE, *signed), body)
    row = over_http2.booked(operation="converse-stream", stream=True, geo="us")
    assert status == 200
    frames = EventStreamBuffer()
    frames.add_data(answer)
    last = list(frames)[-1]
    assert json.loads(last.payload)["usage"]["totalTokens"] == row.provider_total


def test_experimental_http2_a_wrong_signature_is_refused(over_http2: Weighing) -> None:
    port = over_http2.running.port
    signed = signature(port, CLAUDE, b"{}", over_http2.key)
    status, answer = exchanged(port, asked(port, CLAUDE, *signed), b'{"messages":[]}')
    assert status == 403
    assert b"signature" in answer
    over_http2.nothing_booked()


@pytest.mark.parametrize("stream", ["true", "false"])
def test_experimental_http2_a_bearer_key_passes(stream: str, over_http2: Weighing) -> None:
    port = over_http2.running.port
    body = b'{"messages":[{"role":"user","content":"weigh"}],"stream":%b}' % stream.encode()
    key = ("api-key", over_http2.key.key)
    status, answer = exchanged(port, asked(port, CHAT, key), body)
    over_http2.booked(operation="chat.completions", stream=stream == "true")
    assert status == 200
    assert b"chat.completion" in answer


def test_experimental_http2_serves_http1_on_the_same_port(
    over_http2: Weighing, opened: Opened
) -> None:
    client = opened(
        AzureOpenAI(
            azure_endpoint=over_http2.azure,
            api_key=over_http2.key.key,
            api_version="2024-10-21",
        )
    )
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "weigh"}])
    over_http2.booked(operation="chat.completions")
