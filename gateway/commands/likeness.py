"""Print where the encoding has none of our marks: ``> file`` on Windows, a terminal without UTF-8.

There a table would end in a traceback; each mark becomes an ASCII character of the same width instead.
"""

import codecs
import sys
from io import TextIOWrapper
from typing import Final

_NAME: Final = "weighbridge.likeness"
_ALIKE: Final = str.maketrans(
    {"✓": "+", "✗": "x", "●": "*", "○": "o", "■": "#", "▲": "!", "▸": ">", "→": ">", "…": "~", "·": "-"}
    | dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}—╌─", "-")
    | dict.fromkeys("━╍", "=")
    | dict.fromkeys("│┃", "|")
    | dict(zip("▁▂▃▄▅▆▇█", "12345678", strict=True))
)  # fmt: skip


def anywhere() -> None:
    """Make this process's output and errors take every character."""
    codecs.register_error(_NAME, _alike)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_NAME)


def _alike(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    said = error.object[error.start : error.end].translate(_ALIKE)
    return "".join(one if one.isascii() else "?" for one in said), error.end


def writable(text: str) -> bool:
    """Whether the output has every character as it is."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
