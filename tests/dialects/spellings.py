"""The same JSON, written otherwise: names in escapes, blanks between tokens."""

import re
from typing import Final

_PIECES: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^"{}\[\],:\s]+|\s+', re.DOTALL)


def escaped_names(text: str, letters: set[int], blank: str = "") -> str:
    """Some letters of the member names as escapes, counted over all names; ``blank`` around every bracket and comma."""
    pieces = [piece for piece in _PIECES.findall(text) if piece.strip()]
    written, place = [], 0
    for piece, follows in zip(pieces, [*pieces[1:], ""], strict=True):
        if piece[0] == '"' and follows == ":":
            name = piece[1:-1]
            inner = [
                f"\\u{ord(each):04x}" if place + at in letters else each
                for at, each in enumerate(name)
            ]
            place += len(name)
            written.append(f'"{"".join(inner)}"')
        else:
            written.append(blank + piece + blank if piece in "{}[],:" else piece)
    return "".join(written)
