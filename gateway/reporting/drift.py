"""The drift watch: what providers report against what tiktoken counted, and what was served against what was asked.

Per model an exponentially weighted ratio of reported over counted input tokens, in parts per million, weighted by
tokens: over the last couple of hundred answers against all before them. A sudden change is a new tokenizer, a
hidden preamble, or a bill that no longer fits the usage. To watch something else: a line in ``SIGNALS``.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway.ledger.entry import Entry, EntryKind, Outcome, reported_tokens

MILLION: Final = 1_000_000
RECENT: Final = 200  # answers the weighted ratio mostly rests on
DRIFT_PPM_MAX: Final = 50_000  # 5 %
EXACT_TOKENS_OFF: Final = 3
EXACT_PERCENT_OFF: Final = 2
EXACT_MISSED_PERCENT: Final = 5  # of exact counts: three in a hundred are known to miss
EXACT_MIN: Final = 50
_SCALE: Final = 1 << 20  # keeps the weighted sums whole numbers

# Flag of a row → what it is called here, and what to do about it.
SIGNALS: Final = {
    "model_mismatch": (
        "another model served",
        "map the deployment to the model that answers, or ask the provider",
    ),
    "served_model_unknown": (
        "an unknown model served",
        "add its price rows: it is charged as the mapped model until then",
    ),
    "tier_mismatch": (
        "another tier served than asked for",
        "the tier served is charged; a discount asked for in vain is not given",
    ),
    "tier_unconfirmed": (
        "the tier served is not said",
        "a discount is not given until the answer says that it was",
    ),
    "unbalanced": (
        "classes do not sum to the provider's total",
        "the provider reports something new: compare usage_raw with lines",
    ),
    "count_mismatch": (
        "the provider says two things about one answer",
        "compare usage_raw with the answer's headers",
    ),
    "unknown_unit": (
        "something was used that has no unit",
        "it is not booked: report the shape of usage_raw",
    ),
    "usage_invalid": (
        "impossible usage reported",
        "it was counted instead: ask the provider with provider_request_id",
    ),
}


class Alarm(NamedTuple):
    """One thing to look at: the signal's name, how often, what was found, what to do."""

    signal: str
    rows: int
    found: str
    cure: str


class Watch:
    """The rows of one model as they come, oldest first."""

    def __init__(self) -> None:
        self.rows = 0
        self.flagged: Counter[str] = Counter()
        self.counted = 0
        self.reported = 0
        self.exact = 0
        self.exact_off = 0
        self.compared = 0
        self.silent = 0
        self._recent_counted = 0  # exponentially weighted, scaled
        self._recent_reported = 0

    def add(self, entry: Entry) -> None:
        """Take in a row."""
        if entry.kind is not EntryKind.USAGE:
            return
        self.rows += 1
        self.flagged.update(flag for flag in entry.flags if flag in SIGNALS)
        if entry.outcome is not Outcome.COMPLETE or entry.provenance != "reported":
            return
        reported_input, reported_output = reported_tokens(entry)
        if reported_output == 0 and (entry.counted_output or 0) > 0:
            self.silent += 1
        if entry.counted_input and reported_input:
            self._compare(entry.counted_input, reported_input, entry.count_confidence or "")

    def _compare(self, counted: int, reported: int, confidence: str) -> None:
        self.compared += 1
        self.counted += counted
        self.reported += reported
        self._recent_counted += (counted * _SCALE - self._recent_counted) * 2 // RECENT
        self._recent_reported += (reported * _SCALE - self._recent_reported) * 2 // RECENT
        if confidence == "exact":
            self.exact += 1
            off = abs(reported - counted)
            allowed = max(EXACT_TOKENS_OFF, reported * EXACT_PERCENT_OFF // 100)
            self.exact_off += off > allowed

    def ratio_ppm(self) -> int | None:
        """Reported over counted, of all rows; None where nothing could be compared."""
        return self.reported * MILLION // self.counted if self.counted else None

    def recent_ppm(self) -> int | None:
        """The same, the last couple of hundred rows weighing most."""
        if self._recent_counted <= 0:
            return None
        return self._recent_reported * MILLION // self._recent_counted

    def drift_ppm(self) -> int | None:
        """By how much the recent ratio is off the whole one; None below the rows it takes to say."""
        whole, recent = self.ratio_ppm(), self.recent_ppm()
        if whole is None or recent is None or self.compared < 2 * RECENT or not whole:
            return None
        return recent * MILLION // whole - MILLION

    def alarms(self) -> Iterator[Alarm]:
        """What a person should look at, the counts before what was served."""
        drift = self.drift_ppm()
        if drift is not None and abs(drift) > DRIFT_PPM_MAX:
            found = f"recent answers report {_percent(drift)} against what was counted before"
            cure = "a new tokenizer, a hidden preamble or a new bill: compare usage_raw of old and new rows"
            yield Alarm("ratio_drift", RECENT, found, cure)
        if self.exact >= EXACT_MIN and self.exact_off * 100 > self.exact * EXACT_MISSED_PERCENT:
            found = f"{self.exact_off:,} of {self.exact:,} exact counts are off by more than 2 %"
            yield Alarm("exact_off", self.exact_off, found, "the provider counts in a new way")
        if self.silent:
            found = f"{self.silent:,} answers have text and report no output"
            yield Alarm(
                "silent_output",
                self.silent,
                found,
                "they are charged as reported: ask the provider",
            )
        for flag, (meaning, cure) in SIGNALS.items():
            if self.flagged[flag]:
                share = _percent(self.flagged[flag] * MILLION // self.rows, signed=False)
                yield Alarm(flag, self.flagged[flag], f"{meaning}: {share} of rows", cure)


class Drift:
    """The fold over the ledger: add rows oldest first, read ``watches`` by (provider, model)."""

    def __init__(self) -> None:
        self.watches: dict[tuple[str, str], Watch] = defaultdict(Watch)

    def add(self, entry: Entry) -> None:
        """Take in a row; one without a model is watched under the name it was asked by."""
        self.watches[entry.provider, entry.model or entry.deployment or "?"].add(entry)


def _percent(ppm: int, *, signed: bool = True) -> str:
    """Parts per million as a percentage with one decimal."""
    sign = ("-" if ppm < 0 else "+") if signed else ""
    tenths = abs(ppm) // 1000
    return f"{sign}{tenths // 10}.{tenths % 10} %"
