"""A scripted resource of the OpenAI kind that keeps what it is given: files, batches, responses, each under its id."""

import itertools
import json
import re
import time
from typing import Any, Final

USAGE: Final = {"input_tokens": 1000, "output_tokens": 300, "total_tokens": 1300}
MODEL: Final = "gpt-4o-2024-11-20"
_PATH: Final = re.compile(
    r"/openai/v1/(files|batches|responses)(?:/([^/]+))?(?:/(content|cancel))?"
)


class KeepingCloud:
    """An ASGI app. ``status``: what every batch is in from now on; ``seen``: method and path of every call."""

    def __init__(self, prefix: str = "") -> None:
        self.status = "in_progress"
        self.usage: dict[str, Any] | None = USAGE
        self.output: bytes | None = b"{}"  # of every batch; None: it writes none
        self.cut_once = False  # the next output file breaks off in the middle
        self.seen: list[str] = []
        self.bodies: list[bytes] = []
        self.deleted: set[str] = set()
        self.content_status = 200  # of every output file's content
        self.written_s = 0  # when output files are said to be written; 0: now
        self.searches = 0  # of every answer
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._kept: dict[str, dict[str, Any]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.seen.append(f"{scope['method']} {scope['path']}")
        self.bodies.append(body)
        name, _, last = scope["path"].removeprefix("/openai/v1/files/").partition("/")
        is_output = name.startswith("file-out-") and last == "content"
        if is_output and name not in self.deleted and self.content_status == 200:
            await self._written(send)
            return
        status, document = self._answer(scope["method"], scope["path"], body)
        if is_output:
            status, document = (
                max(status, self.content_status),
                {"error": {"message": "no content"}},
            )
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(document).encode()})

    async def _written(self, send: Any) -> None:
        """The output file; where it is to be cut, its end does not come."""
        output = self.output or b""
        headers = [
            (b"content-type", b"application/octet-stream"),
            (b"content-length", b"%d" % len(output)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if self.cut_once:
            self.cut_once = False
            half = output[: len(output) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            return
        await send({"type": "http.response.body", "body": output})

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        found = _PATH.fullmatch(path)
        if found is None:
            return 404, {"error": {"message": path}}
        kind, name, _ = found.groups()
        if name is None:
            return 200, self._made(kind, body) if method == "POST" else self._listed(kind)
        kept = self._kept.get(name)
        if kept is None or name in self.deleted:
            return 404, {"error": {"message": f"no {name}"}}
        if method == "DELETE":
            self.deleted.add(name)
            return 200, {"id": name, "object": kept["object"], "deleted": True}
        return 200, self._grown(kept) if kept["object"] == "batch" else kept

    def _listed(self, kind: str) -> dict[str, Any]:
        for batch in [each for each in self._kept.values() if each["object"] == "batch"]:
            self._grown(batch)
        listed = [each for each in self._kept.values() if each["object"] in kind]
        return {"object": "list", "data": listed, "has_more": False}

    def _made(self, kind: str, body: bytes) -> dict[str, Any]:
        number = next(self._numbers)
        document: dict[str, Any]
        if kind == "files":
            purpose = "assistants" if b"assistants" in body else "batch"
            document = {"id": f"file-{self._prefix}{number}", "object": "file", "purpose": purpose}
            document |= {
                "bytes": len(body),
                "created_at": int(time.time()),
                "filename": "f",
                "status": "processed",
            }
        elif kind == "batches":
            asked = json.loads(body)
            document = {
                "id": f"batch_{self._prefix}{number}",
                "object": "batch",
                "created_at": 1,
                **asked,
            }
            document["status"] = "validating"
        else:
            message = {
                "id": f"msg_{self._prefix}{number}",
                "type": "message",
                "role": "assistant",
                "content": [],
            }
            document = {
                "id": f"resp_{self._prefix}{number}", "object": "response", "created_at": 1, "model": MODEL,
                "status": "completed", "output": [message, *self._searched(number)], "usage": USAGE, "parallel_tool_calls": True,
                "tool_choice": "auto", "tools": [],
            }  # fmt: skip
        self._kept[document["id"]] = document
        return document

    def _searched(self, number: int) -> list[dict[str, Any]]:
        kind = {
            "type": "web_search_call",
            "status": "completed",
            "action": {"type": "search", "query": "q"},
        }
        return [{"id": f"ws_{self._prefix}{number}_{at}", **kind} for at in range(self.searches)]

    def _output(self, name: str) -> dict[str, Any]:
        told = {"purpose": "batch_output", "bytes": 1, "filename": "o", "status": "processed"}
        return {
            "id": name,
            "object": "file",
            "created_at": self.written_s or int(time.time()),
            **told,
        }

    def _grown(self, batch: dict[str, Any]) -> dict[str, Any]:
        document = {**batch, "status": self.status}
        output = f"file-out-{batch['id']}"
        if self.status in ("completed", "finalizing") and self.output is not None:
            self._kept.setdefault(output, self._output(output))
        if self.status == "completed":
            document["model"] = MODEL
            if output in self._kept:
                document["output_file_id"] = output
            if self.usage is not None:
                document["usage"] = self.usage
        return document
