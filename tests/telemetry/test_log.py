"""The log: one JSON line per event, which means what was said and which a terminal only shows."""

import json
import unicodedata
from typing import Any

from hypothesis import given, strategies as st

from gateway.kernel.clock import SystemClock
from gateway.kernel.names import HIDDEN, escaped
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.observe import Telemetry

HOSTILE = 'a\x9b31m\u202e\x1b[2J\x85\u2066\ufeff\u2028"\\b'


def test_a_name_in_a_log_line_reaches_no_terminal_as_a_command(kept: Any) -> None:
    Telemetry(Metrics(), SystemClock()).log("breaker", upstream=HOSTILE, model="%s 東京 \U0001f468")
    (line,) = kept.lines
    assert json.loads(line)["upstream"] == HOSTILE
    assert json.loads(line)["model"] == "%s 東京 \U0001f468"
    assert not any(unicodedata.category(one) in HIDDEN for one in line)


@given(
    st.recursive(
        st.text(), lambda below: st.lists(below) | st.dictionaries(st.text(), below), max_leaves=8
    )
)
def test_escaped_json_means_what_it_meant_and_holds_nothing_hidden(said: object) -> None:
    line = escaped(json.dumps(said, ensure_ascii=False))
    assert json.loads(line) == said
    assert not any(unicodedata.category(one) in HIDDEN for one in line)
