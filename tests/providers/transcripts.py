"""The wire fixtures as requests and answers; see tests/transcripts/README.md."""

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

from gateway.wire.messages import Head, Inbound

FOLDER = Path(__file__).parents[1] / "transcripts"


class Case(NamedTuple):
    provider: str
    name: str
    request: dict[str, Any]
    meta: dict[str, Any]
    response: bytes

    def inbound(self) -> Inbound:
        path, _, query = self.request["target"].partition("?")
        headers = tuple(
            (k.lower().encode(), v.encode("latin-1")) for k, v in self.request["headers"]
        )
        return Inbound(
            self.request["method"].encode(), path.encode(), query.encode(), headers, self.body()
        )

    def body(self) -> bytes:
        if self.request.get("body_base64") is not None:
            return base64.b64decode(self.request["body_base64"])
        body = self.request.get("body_json")
        return b"" if body is None else json.dumps(body).encode()

    def head(self) -> Head:
        headers = tuple((k.encode(), v.encode()) for k, v in self.meta["http"]["headers"])
        return Head(self.meta["http"]["status"], headers)


def cases(folder: Path = FOLDER) -> list[Case]:
    found = []
    for meta in sorted(folder.glob("*/*.meta.json")):
        stem = meta.name.removesuffix(".meta.json")
        found.append(
            Case(
                meta.parent.name,
                stem,
                json.loads((meta.parent / f"{stem}.request.json").read_text()),
                json.loads(meta.read_text()),
                (meta.parent / f"{stem}.response").read_bytes(),
            )
        )
    return found
