# ruff: noqa: E402  (the path comes first, so that the script runs from anywhere)
"""How close tiktoken's counts come to what providers reported, on recorded traffic.

    python tests/benchmarks/bench_tokens.py [pairs.jsonl.gz] [--json]

Without a path it looks for ``shared/recorded/pairs.jsonl.gz`` beside the checkout; where that is absent it falls back to
the golden counts and says so, and its targets are not measured. To report on another wire: one line in ``READERS``.
"""

import argparse
import gzip
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

REPOSITORY: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))  # run as a script, from anywhere

import orjson
from rich.console import Console
from rich.table import Table

from gateway.dialects.anthropic import MESSAGES
from gateway.dialects.contract import Dialect
from gateway.dialects.converse import CONVERSE
from gateway.dialects.gemini.generate import GENERATE
from gateway.dialects.openai_chat import CHAT, COMPLETIONS
from gateway.dialects.openai_media import EMBEDDINGS
from gateway.dialects.openai_responses import RESPONSES
from gateway.kernel.errors import MalformedBody
from gateway.metering import vocabulary
from gateway.metering.count import Counter, Vocabulary
from gateway.metering.families import family_of
from gateway.metering.prompt import Prompt
from tests.unit.golden_counts import GOLDEN

PAIRS: Final = REPOSITORY.parent / "shared" / "recorded" / "pairs.jsonl.gz"
OPENAI_HOSTS: Final = ("api.openai.com", ".openai.azure.com")
TARGETS: Final = {"chat text exact": 95, "chat tools within 2": 85}


class Reader(NamedTuple):
    """How a recorded pair of one wire is read.

    A pair is of the wire where its request has ``member`` and its usage the first of ``parts``, which add up to the
    prompt's tokens. ``openai_only``: other hosts use the same member for something else.
    """

    dialect: Dialect
    member: str
    parts: tuple[str, ...]
    openai_only: bool = False


class Row(NamedTuple):
    """One recorded request: what was counted, what its provider reported."""

    kind: str
    counted: int
    reported: int


READERS: Final = {
    "gemini": Reader(GENERATE, "contents", ("promptTokenCount",)),
    "converse": Reader(
        CONVERSE, "messages", ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    ),
    "messages": Reader(
        MESSAGES,
        "messages",
        ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
    ),
    "chat": Reader(CHAT, "messages", ("prompt_tokens",)),
    "responses": Reader(RESPONSES, "input", ("input_tokens",), openai_only=True),
    "embeddings": Reader(EMBEDDINGS, "input", ("prompt_tokens",), openai_only=True),
    "completions": Reader(COMPLETIONS, "prompt", ("prompt_tokens",), openai_only=True),
}
ESTIMATED_KINDS: Final = frozenset({"text", "tools", "tools + calls"})


def load_counter() -> Counter:
    """A counter over the shipped vocabulary."""
    folder = resources.files(vocabulary)
    files = {name: (folder / file).read_bytes() for name, file in vocabulary.FILES.items()}
    return Counter(Vocabulary.from_bytes(files))


def usages(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every usage object in an answer and its events, in order."""
    if isinstance(value, list):
        for each in value:
            yield from usages(each)
    if isinstance(value, dict):
        for key in ("usage", "usageMetadata"):
            if isinstance(value.get(key), dict):
                yield value[key]
        for key in ("response", "message", "metadata"):
            yield from usages(value.get(key))


def wire_of(host: str, request: Mapping[str, Any], usage: Mapping[str, Any]) -> str | None:
    """Which reader fits a pair; None for other wires."""
    is_openai = host.endswith(OPENAI_HOSTS)
    for name, reader in READERS.items():
        fits = reader.member in request and reader.parts[0] in usage
        if fits and (is_openai or not reader.openai_only):
            return name
    return None


def kind_of(prompt: Prompt) -> str:
    """The kind of a request, as the report groups them."""
    if any(turn.images or turn.opaque for turn in prompt.turns):
        return "media or hosted"
    calls = any(turn.tool_calls or turn.legacy_call for turn in prompt.turns)
    if prompt.functions:
        return "tools + calls" if calls else "tools"
    if calls:
        return "calls, no tools"
    return "schema" if prompt.schema else "text"


def model_of(request: Mapping[str, Any], answer: Any) -> str:
    """The model by the request, else by the answer (where the path names it)."""
    if request.get("model"):
        return str(request["model"])
    for event in answer:
        if isinstance(event, dict) and (name := event.get("modelVersion") or event.get("model")):
            return str(name)
    return ""


def row_of(pair: Mapping[str, Any], counter: Counter) -> Row | None:
    """One pair counted; None where it is of another wire or says no usage."""
    request, whole = pair["req"], pair["resp"]
    answer = [*(whole if isinstance(whole, list) else [whole]), *(pair["events"] or ())]
    usage = {key: value for each in usages(answer) for key, value in each.items() if value}
    wire = wire_of(pair["host"], request, usage) if isinstance(request, dict) else None
    if wire is None:
        return None
    try:
        read = READERS[wire].dialect.read_request(orjson.dumps(request), b"application/json")
    except MalformedBody:
        return None
    model = model_of(request, answer)
    group = group_of(wire, pair["host"], model, kind_of(read.prompt))
    reported = sum(usage.get(part, 0) for part in READERS[wire].parts)
    return Row(group, counter.input(read.prompt, model).tokens, reported) if group else None


def group_of(wire: str, host: str, model: str, kind: str) -> str | None:
    """Where the report shows a request; None where it is no measure of anything."""
    family = family_of(model)
    if not family.formula:
        return f"{family.name}: {kind}" if kind in ESTIMATED_KINDS else None
    if not host.endswith(OPENAI_HOSTS):
        return (
            None  # other vendors' servers speak the chat protocol too, and count in their own way
        )
    return f"{wire} {'thinking ' if family.reasoning else ''}{kind}"


def from_pairs(path: Path, counter: Counter) -> list[Row]:
    """Every pair of the file that can be counted."""
    with gzip.open(path, "rb") as lines:
        rows = [row_of(orjson.loads(line), counter) for line in lines]
    return [row for row in rows if row is not None]


def from_golden(counter: Counter) -> list[Row]:
    """The golden counts, one kind a shape."""
    return [
        Row(f"{prompt.shape} {kind_of(prompt)}", counter.input(prompt, model).tokens, reported)
        for model, prompt, reported in GOLDEN.values()
    ]


def figures(rows: list[Row]) -> dict[str, float]:
    """What the report says of one group."""
    off = [abs(row.counted - row.reported) for row in rows]
    counted, reported = sum(row.counted for row in rows), sum(row.reported for row in rows)
    return {
        "n": len(rows),
        "exact": sum(each == 0 for each in off),
        "within_2": sum(each <= 2 for each in off),
        "median_error": median(off),
        "bias_percent": round(100 * (counted - reported) / reported, 2),
    }


def verdicts(groups: Mapping[str, list[Row]]) -> dict[str, dict[str, Any]]:
    """The targets, and what was reached on recorded traffic (None: nothing recorded); both families of models together."""
    reached = {}
    for name, least in TARGETS.items():
        wire, kind, measure = name.split(" ", 2)
        rows = [
            row
            for key in (f"{wire} {kind}", f"{wire} thinking {kind}")
            for row in groups.get(key, ())
        ]
        allowed = 0 if measure == "exact" else 2
        good = sum(abs(row.counted - row.reported) <= allowed for row in rows)
        percent = round(100 * good / len(rows), 1) if rows else None
        met = None if percent is None else percent >= least
        reached[name] = {"n": len(rows), "percent": percent, "target": least, "met": met}
    return reached


def show(
    source: str, report: Mapping[str, Mapping[str, float]], targets: Mapping[str, Any]
) -> None:
    """The report as tables."""
    console = Console()
    table = Table(title=f"prompt tokens, counted against reported: {source}")
    for column in ("requests", "n", "exact", "within 2", "median error", "bias %"):
        table.add_column(column, justify="left" if column == "requests" else "right")
    for name, each in report.items():
        share = (
            f"{each[key]} ({100 * each[key] / each['n']:.0f} %)" for key in ("exact", "within_2")
        )
        row = (
            f"{each['n']:g}",
            *share,
            f"{each['median_error']:g}",
            f"{each['bias_percent']:+.2f}",
        )
        table.add_row(name, *row)
    console.print(table)
    for name, each in targets.items():
        if each["met"] is None:
            console.print(f"{name}: not measured, target {each['target']} %")
            continue
        word = "met" if each["met"] else "MISSED"
        console.print(
            f"{name}: {each['percent']} % of {each['n']}, target {each['target']} %: {word}"
        )


def main() -> int:
    """Measure and report; 1 where a target is missed on recorded traffic."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("pairs", nargs="?", type=Path, default=PAIRS)
    parser.add_argument("--json", action="store_true", help="one object instead of tables")
    arguments = parser.parse_args()
    counter = load_counter()
    has_pairs = arguments.pairs.is_file()
    rows = from_pairs(arguments.pairs, counter) if has_pairs else from_golden(counter)
    source = arguments.pairs.name if has_pairs else "golden counts (no recorded traffic found)"
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows):
        groups[row.kind].append(row)
    report = {name: figures(each) for name, each in groups.items()}
    # A handful of golden requests, on which the counts were made, proves no percentage.
    targets = verdicts(groups if has_pairs else {})
    if arguments.json:
        print(json.dumps({"source": source, "groups": report, "targets": targets}))
    else:
        show(source, report, targets)
    return 1 if has_pairs and not all(each["met"] for each in targets.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
