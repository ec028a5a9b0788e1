"""What a name is: of people, teams, costs, sources; anything that a person reads and another types again.

Any script and any emoji is one, joined emoji (a family, a flag) and joined letters too. What nobody can see or
what changes the order in which the rest is read is not: two names would look the same.
"""

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from hashlib import sha256
from typing import Final

NAME_CHARS_MAX: Final = 200  # Unicode characters; a joined emoji has several
CODE_CHARS_MAX: Final = 40  # of a cost centre
ID_CHARS_MAX: Final = 512  # of an id that a provider gives: fits any index
# Control, format (bidi overrides, zero width, tags), line and paragraph separators, lone surrogates.
HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_REGION_FLAG: Final = re.compile(
    "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]+\U000e007f"
)
_JOINERS: Final = frozenset("\u200c\u200d")  # zero width non-joiner, zero width joiner
_JOINED_AFTER: Final = frozenset({"So", "Sk", "Mn", "Mc", "Me", "Lo"})
_JOINED_BEFORE: Final = frozenset({"So", "Lo"})
NEAREST: Final = 3  # names that are told
_WILD: Final = re.compile(r"[*?]|\[[^]]*\]")
_SEEN: Final = frozenset("LNPS")
_BLANK: Final = frozenset(
    "\u115f\u1160\u2800\u3164\uffa0"
)  # letters and symbols that are drawn as nothing


def hidden(text: str) -> str:
    """The first character of a text that no reader sees or that reorders what is read; '' where there is none.

    A joiner between emoji, or between letters of a script that joins them, and the tags of a region's flag belong
    to what is seen.
    """
    if text.isprintable():
        return ""
    rest = _REGION_FLAG.sub("\U0001f3f4", text)
    for at, character in enumerate(rest):
        if unicodedata.category(character) in HIDDEN and not _joins(rest, at):
            return character
    return ""


def _joins(text: str, at: int) -> bool:
    return (
        text[at] in _JOINERS
        and 0 < at < len(text) - 1
        and unicodedata.category(text[at - 1]) in _JOINED_AFTER
        and unicodedata.category(text[at + 1]) in _JOINED_BEFORE
    )


def known_by(identity: str) -> str:
    """What an id in others' words is kept under: the id, or its SHA-256 where no database would take it as it is.

    Equal for equal ids; whoever asks for the id again finds it, however long it is and whatever it holds.
    """
    if len(identity) <= ID_CHARS_MAX and identity.isprintable():
        return identity
    return f"sha256-{sha256(identity.encode('utf-8', 'surrogatepass')).hexdigest()}"


def escaped(line: str) -> str:
    """JSON that means the same, in which nothing stands raw that a terminal obeys or that reorders what is read."""
    if line.isprintable():
        return line
    return "".join(map(_escape, line))


def _escape(character: str) -> str:
    if unicodedata.category(character) not in HIDDEN:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def unfit(text: str, chars_max: int = NAME_CHARS_MAX) -> str:
    """Why a text is no name, as the rest of a sentence with its cure ('is empty: give a name'); '' where it is one."""
    unseen = hidden(text)
    checks = (
        (not text.strip(), "is empty: give a name"),
        (len(text) > chars_max, f"has {len(text):,} characters: at most {chars_max} are a name"),
        (bool(unseen), f"holds the invisible character {_code(unseen)}: type it again without"),
        (text != text.strip(), "is a name without spaces around it: leave them out"),
        (not any(map(_is_seen, text)), "shows nothing: give a name that can be read"),
    )
    return next((said for is_wrong, said in checks if is_wrong), "")


def _code(character: str) -> str:
    return f"U+{ord(character):04X}" if character else ""


def _is_seen(character: str) -> bool:
    return unicodedata.category(character)[0] in _SEEN and character not in _BLANK


def nearest(text: str, known: Iterable[str]) -> str:
    """The known names that are written most like one (or like what a glob spells out), in a list; '' where nothing is near."""
    by_letters: dict[str, str] = {}
    for name in sorted(known):
        by_letters.setdefault(name.casefold(), name)
    asked = _WILD.sub("", text).casefold()
    near = get_close_matches(asked, by_letters, n=NEAREST, cutoff=0.5)
    return ", ".join(by_letters[one] for one in near)
