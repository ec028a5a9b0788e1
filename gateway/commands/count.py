"""weighbridge count: tiktoken's count of a request, as the gateway makes it before it forwards one."""

import re
import sys
from typing import Annotated

import typer

from gateway import shipped
from gateway.commands.names import model_of
from gateway.commands.output import CONSOLE, emit, stop, styled
from gateway.dialects.contract import Dialect
from gateway.kernel.errors import GatewayError
from gateway.metering.count import Count, Counter
from gateway.providers.contract import Provider

_SYNONYMS = {
    "chat": "chatcompletions",
    "streamgeneratecontent": "generatecontent",
    "conversestream": "converse",
}

# Operations whose body's dialect depends on the vendor of the model.
_BY_VENDOR = {
    "invoke": "invoke",
    "invokewithresponsestream": "invoke",
    "rawpredict": "rawpredict",
    "streamrawpredict": "rawpredict",
}


def count(
    *,
    provider: Annotated[str, typer.Option(help="the cloud")],
    operation: Annotated[
        str, typer.Option(help="chat.completions, responses, converse, generateContent, …")
    ],
    model: Annotated[str, typer.Option(help="model or wire name")],
    json: Annotated[bool, typer.Option("--json", help="one object per line")] = False,
) -> None:
    """Count the input tokens of the request body on standard input (one JSON document, or one per line)."""
    speaker = shipped.provider_named(provider)
    model = model_of(model)
    dialect = _dialect(speaker, operation)  # before the body is waited for
    body = sys.stdin.buffer.read()
    dialect = _of_vendor(speaker, operation, model, body) or dialect
    counter = shipped.counter()
    for document in _documents(body):
        counted = _count(counter, dialect, document, model)
        if json:
            emit({"input": counted.tokens, "confidence": str(counted.confidence)})
        else:
            CONSOLE.print(
                styled(
                    "[bold]{:,}[/] input tokens ([dim]{}[/])", counted.tokens, counted.confidence
                )
            )


def _spoken(provider: Provider) -> dict[str, Dialect]:
    return {_plain(name): dialect for name, dialect in provider.operations().items()}


def _dialect(provider: Provider, operation: str) -> Dialect:
    spoken, wanted = _spoken(provider), _plain(operation)
    found = spoken.get(_SYNONYMS.get(wanted, wanted)) or spoken.get(wanted)
    if found is None:
        stop(
            f"{provider.name} has no metered operation {operation!r}: {', '.join(provider.operations())}"
        )
    return found


def _of_vendor(provider: Provider, operation: str, model: str, body: bytes) -> Dialect | None:
    """The dialect of the model's vendor, where an operation has several."""
    wanted = _BY_VENDOR.get(_plain(operation))
    if wanted is None or not (b'"anthropic_version"' in body or "claude" in model.lower()):
        return None
    return _spoken(provider).get(f"{wanted}anthropic")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _documents(body: bytes) -> list[bytes]:
    """One document, or one per line where every line is an object of its own."""
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > 1 and all(
        line.startswith(b"{") and line.rstrip().endswith(b"}") for line in lines
    ):
        return lines
    return [body]


def _count(counter: Counter, dialect: Dialect, document: bytes, model: str) -> Count:
    try:
        request = dialect.read_request(document, b"application/json")
    except GatewayError as error:
        stop(error.message)
    return counter.input(request.prompt, model)
