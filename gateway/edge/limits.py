"""What one client connection may cost: sizes and times, with the reason beside each.

To add a limit: one field here and the check in http1.py; a limit without a test is a wish (tests/edge).
"""

from typing import Final

import msgspec

KIB: Final = 1024
MIB: Final = 1024 * KIB


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the strict protocol. Sizes in bytes, times in milliseconds.

    url_bytes_max        beyond it: 414
    head_bytes_max       names + values + 4 each, and the raw bytes of an unfinished head: 431
    fields_max           header fields per request: 431
    blank_bytes_max      CR and LF before a request line, for every request of a connection: 400
    trailer_bytes_max    chunked trailers are counted and dropped, never merged: 431
    overhead_ratio_max   wire bytes of a chunked body per body byte (chunk extensions, 1-byte chunks): 400
    overhead_free_bytes  wire bytes a chunked body may cost beyond that ratio
    body_bytes_max       the hard stop for applications that do not look: 413. ``read_inbound`` has its
                         own, lower limit and answers in the words of the client's SDK
    pipelined_bytes_max  what is read, to see the FIN, after a pipelined request was ignored: close
    linger_bytes_max     what is read and dropped after an early refusal, so that a client in the middle
                         of an upload still gets to read it
    head_ms              from accept, and again from the first byte after a response: 408
    body_idle_ms         between two reads of a body, while reading is not paused by us: close
    body_total_ms        for a whole body, whatever its pace: close
    keep_alive_ms        between a response and the next request's first byte: close
    write_stall_ms       without a byte leaving for a client that does not read: abort
    linger_ms            how long ``linger_bytes_max`` may take
    sweep_ms             the grain of all of the above: one pass over the connections, no timer each
    """

    url_bytes_max: int = 8 * KIB
    head_bytes_max: int = 32 * KIB
    fields_max: int = 100
    blank_bytes_max: int = 64
    trailer_bytes_max: int = 4 * KIB
    overhead_ratio_max: int = 16
    overhead_free_bytes: int = 4 * KIB
    body_bytes_max: int = 64 * MIB
    pipelined_bytes_max: int = 64 * KIB
    linger_bytes_max: int = 4 * MIB
    head_ms: int = 10_000
    body_idle_ms: int = 30_000
    body_total_ms: int = 120_000
    keep_alive_ms: int = 75_000
    write_stall_ms: int = 300_000
    linger_ms: int = 2_000
    sweep_ms: int = 250
