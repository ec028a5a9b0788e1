"""Worker processes: forked, watched, replaced, ended by pid.

A worker says by a pipe whether it serves, or what keeps it from it. One that had served is replaced at once; one
that cannot start is tried again after a pause that grows, with one line each time. A mistake in the configuration
ends them all, as long as none has served: later it is of an import or a file that came since, and those that serve
go on. Where the one who watches is gone (kill -9), they leave in order: nobody would replace them, and the next start
would share its port with them.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from types import FrameType
from typing import Final, NoReturn, TypeAlias

import msgspec

from gateway.commands.output import complain
from gateway.kernel.clock import SystemClock
from gateway.kernel.errors import ConfigurationError, GatewayError

NS_PER_S: Final = 1_000_000_000
PAUSE_NS_MIN: Final = NS_PER_S  # a worker that dies at once is not started in a tight loop
PAUSE_NS_MAX: Final = 30 * NS_PER_S
LOOK_SECONDS: Final = 0.05
STATUS_MISTAKE: Final = 2
_READ_BYTES: Final = 65_536
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)

Serving: TypeAlias = Callable[[Callable[[], None]], None]


class _Told(msgspec.Struct, frozen=True):
    """What a worker says of its start, a line of JSON: nothing is wrong, or what."""

    problems: tuple[str, ...] = ()
    mistake: bool = False


class _Worker:
    """One place among the workers: the process in it, or when the next is due."""

    def __init__(self) -> None:
        self.pid = 0
        self.began_ns = 0
        self.due_ns = 0
        self.failures = 0
        self.told: _Told | None = None
        self._pipe = -1
        self._heard = b""

    @property
    def serves(self) -> bool:
        return self.told is not None and not self.told.problems

    def begun(self, pid: int, pipe: int, now_ns: int) -> None:
        self.pid, self._pipe, self.began_ns = pid, pipe, now_ns
        self.told, self._heard = None, b""

    def listen(self) -> None:
        """Take in what it says: one line in all."""
        with suppress(BlockingIOError):
            self._heard += os.read(self._pipe, _READ_BYTES)
        if self.told is None and self._heard.endswith(b"\n"):
            self.told = msgspec.json.decode(self._heard, type=_Told)

    def ended(self, now_ns: int) -> None:
        os.close(self._pipe)
        self.pid, self._pipe = 0, -1
        self.failures = 0 if self.serves else self.failures + 1
        lived_ns = now_ns - self.began_ns
        pause_ns = PAUSE_NS_MIN - lived_ns if self.serves else PAUSE_NS_MIN << (self.failures - 1)
        self.due_ns = now_ns + max(0, min(pause_ns, PAUSE_NS_MAX))


class Workers:
    """``serving`` is what a worker does until SIGTERM; it calls what it is given once it serves.

    ``listens`` is called here once the first of them does. Nothing may run in this process that a fork would tear.
    """

    def __init__(self, count: int, serving: Serving, listens: Callable[[], None]) -> None:
        self._serving = serving
        self._listens = listens
        self._clock = SystemClock()
        self._places = [_Worker() for _ in range(count)]
        # Only this process holds the end that is never written to: the other one ends with it.
        self._lifeline, self._held = os.pipe()
        self._stopping = False
        self._served = False
        self._status = 0

    def run(self) -> None:
        """Until told to stop and all have ended. Raises SystemExit (2) on a mistake in the configuration."""
        for number in _ENDING:
            signal.signal(number, self._stop)
        while True:
            for place in self._places:
                if place.pid:
                    self._look(place)
                elif not self._stopping and self._clock.ticks_ns() >= place.due_ns:
                    self._start(place)
            if self._stopping and not any(place.pid for place in self._places):
                break
            time.sleep(LOOK_SECONDS)
        if self._status:
            raise SystemExit(self._status)

    def _start(self, place: _Worker) -> None:
        heard, says = os.pipe()
        os.set_blocking(heard, False)
        # A signal that came in between would find our handler in the child.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        pid = -1 if self._stopping else os.fork()
        if pid == 0:
            for number in _ENDING:
                signal.signal(number, signal.SIG_DFL)
            os.close(heard)
            os.close(self._held)
            Thread(target=_outlived, args=(self._lifeline,), daemon=True).start()
        elif pid > 0:
            place.begun(pid, heard, self._clock.ticks_ns())
            os.close(says)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        if pid == 0:
            _work(self._serving, says)

    def _look(self, place: _Worker) -> None:
        ended, status = os.waitpid(place.pid, os.WNOHANG)
        place.listen()
        if place.serves and not self._served:
            self._served = True
            self._listens()
        if ended:
            pid = place.pid
            place.ended(self._clock.ticks_ns())
            if not self._stopping and not place.serves:
                self._failed(place, pid, place.told or _Told((_how_it_ended(status),)))

    def _failed(self, place: _Worker, pid: int, told: _Told) -> None:
        if told.mistake and not self._served:
            complain(told.problems)
            self._status = STATUS_MISTAKE
            self._stop(signal.SIGTERM, None)
            return
        pause_s = round((place.due_ns - self._clock.ticks_ns()) / NS_PER_S)
        problems = " · ".join(told.problems)
        complain((f"worker {pid} cannot start: {problems}; tried again in {pause_s} s",))

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        """Pass the signal on; each worker drains by itself."""
        self._stopping = True
        for place in self._places:
            if place.pid:
                with suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(place.pid, signal.SIGTERM)


def _outlived(lifeline: int) -> None:
    """Wait for the end of the one who watches, then leave as by its word."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _work(serving: Serving, says: int) -> NoReturn:
    """A worker's life, in its own process."""

    def tell(told: _Told) -> None:
        with suppress(BrokenPipeError):
            os.write(says, msgspec.json.encode(told) + b"\n")

    try:
        serving(lambda: tell(_Told()))
    except ConfigurationError as error:
        tell(_Told(error.problems, mistake=True))
        sys.exit(STATUS_MISTAKE)
    except GatewayError as error:
        tell(_Told((error.message,)))
        sys.exit(STATUS_MISTAKE)
    sys.exit(0)


def _how_it_ended(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
