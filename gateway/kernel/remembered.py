"""What was worked out of texts that others choose, kept for when they come again: so many, and so many bytes at most.

Whoever may choose a text may choose a new one for every request, each as long as it may be; so a number of entries
alone is no bound. What takes more than its entry may is worked out each time and not kept. To remember another
function: decorate it, and say in tests/unit/test_kernel_remembered.py what a hostile client would give it.
"""

from collections.abc import Callable, Hashable
from sys import getsizeof
from typing import Final, Generic, ParamSpec, Protocol, TypeVar, cast

_Asked = ParamSpec("_Asked")
_Found = TypeVar("_Found")
_Found_co = TypeVar("_Found_co", covariant=True)

# A dictionary's own part of an entry, the tuple of the arguments, and what a made object takes beside its texts.
ENTRY_BYTES: Final = 512


class _Work(Protocol[_Found_co]):
    """What is remembered."""

    def __call__(self, *asked: Hashable) -> _Found_co:
        """The answer to the arguments."""
        ...


class Size(Protocol):
    """How many bytes arguments and answer take together."""

    def __call__(self, *asked_and_found: object) -> int:
        """``asked_and_found``: the arguments, then what was made of them."""
        ...


class Remembered(Generic[_Found]):
    """A function of short arguments that keeps its answers; None is worked out each time.

    Of ``entries_max`` the older half is forgotten at once. A hit costs a call and a look-up, as nothing is moved.
    For one thread, or several: each step is one dictionary operation, and a lost answer is only worked out anew.
    """

    def __init__(
        self, work_out: _Work[_Found], size: Size, *, entries_max: int, entry_bytes_max: int
    ) -> None:
        """``size`` is asked on a miss only."""
        self._work_out = work_out
        self._size = size
        self._half = entries_max // 2
        self._entry_bytes_max = entry_bytes_max - ENTRY_BYTES
        self._young: dict[tuple[Hashable, ...], _Found] = {}
        self._old: dict[tuple[Hashable, ...], _Found] = {}
        self.bytes_max = entries_max * entry_bytes_max

    def __call__(self, *asked: Hashable) -> _Found:
        """The answer. Raises what the function raises."""
        found = self._young.get(asked)
        return self._missed(asked) if found is None else found

    def _missed(self, asked: tuple[Hashable, ...]) -> _Found:
        found = self._old.get(asked)
        if found is None:
            found = self._work_out(*asked)
            if found is None or self._size(*asked, found) > self._entry_bytes_max:
                return found
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[asked] = found
        return found

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())


def remembered(
    size: Size, *, entries_max: int, entry_bytes_max: int
) -> Callable[[Callable[_Asked, _Found]], Callable[_Asked, _Found]]:
    """The decorator of a function whose arguments are given by place. See ``Remembered``."""

    def of(work_out: Callable[_Asked, _Found]) -> Callable[_Asked, _Found]:
        kept = Remembered(
            cast("_Work[_Found]", work_out),
            size,
            entries_max=entries_max,
            entry_bytes_max=entry_bytes_max,
        )
        return cast("Callable[_Asked, _Found]", kept)

    return of


def whole(*asked_and_found: object) -> int:
    """The size where arguments and answer are texts, numbers, or collections of these."""
    return sum([_bytes_of(one) for one in asked_and_found])


def times(copies: int) -> Size:
    """The size where the answer is an object that holds the arguments' texts, with them so many times."""

    def size(*asked_and_found: object) -> int:
        return copies * whole(*asked_and_found[:-1])

    return size


def _bytes_of(one: object) -> int:
    if isinstance(one, tuple | frozenset):
        return getsizeof(one) + whole(*one)
    return getsizeof(one)
