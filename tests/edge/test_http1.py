"""The strict protocol over raw sockets: what is refused, what is accepted, and what a refusal looks like."""

import json
import time
from typing import Any

import pytest

H = b"Host: a\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def post(fields: bytes, body: bytes = b"hello", version: bytes = b"1.1", host: bytes = H) -> bytes:
    return b"POST /x HTTP/" + version + b"\r\n" + host + fields + b"\r\n" + body


def get(target: bytes = b"/x", fields: bytes = H, version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET " + target + b" " + version + b"\r\n" + fields + b"\r\n"


def chunks(text: bytes) -> bytes:
    return CHUNKED + text


FIVE = b"5\r\nhello\r\n0\r\n\r\n"

LENGTHS = {
    "two different lengths": post(b"Content-Length: 5\r\nContent-Length: 6\r\n"),
    "length list of different": post(b"Content-Length: 5, 6\r\n"),
    "length with plus": post(b"Content-Length: +5\r\n"),
    "length with minus": post(b"Content-Length: -5\r\n"),
    "length in hex": post(b"Content-Length: 0x5\r\n"),
    "length with blank inside": post(b"Content-Length: 5 5\r\n"),
    "length empty": post(b"Content-Length: \r\n"),
    "length with underscore": post(b"Content-Length: 0_5\r\n"),
    "length overflowing": post(b"Content-Length: 18446744073709551621\r\n"),
    "length in Arabic digits": post("Content-Length: \u0665\r\n".encode()),
    "length with a fraction": post(b"Content-Length: 5.0\r\n"),
    "length with NUL": post(b"Content-Length: 5\x00\r\n"),
    "length with vertical tab": post(b"Content-Length: \x0b5\r\n"),
    "length then coding": post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", FIVE),
    "coding then length": post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", FIVE),
    "length 0 and coding": post(b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", FIVE),
}
CODINGS = {
    "identity, chunked": post(b"Transfer-Encoding: identity, chunked\r\n", FIVE),
    "chunked, identity": post(b"Transfer-Encoding: chunked, identity\r\n", FIVE),
    "chunked, chunked": post(b"Transfer-Encoding: chunked, chunked\r\n", FIVE),
    "two codings equal": post(b"Transfer-Encoding: chunked\r\n" * 2, FIVE),
    "two codings mixed": post(
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", FIVE
    ),
    "xchunked with length": post(b"Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n"),
    "xchunked": post(b"Transfer-Encoding: xchunked\r\n", FIVE),
    "gzip": post(b"Transfer-Encoding: gzip\r\n", FIVE),
    "coding with vertical tab": post(b"Transfer-Encoding: \x0bchunked\r\n", FIVE),
    "coding folded": post(b"Transfer-Encoding:\r\n chunked\r\n", FIVE),
    "coding with space before colon": post(b"Transfer-Encoding : chunked\r\n", FIVE),
    "coding with leading space": post(b" Transfer-Encoding: chunked\r\n", FIVE),
    "coding with NUL in the name": post(b"Transfer\x00-Encoding: chunked\r\n", FIVE),
    "coding in HTTP/1.0": post(b"Transfer-Encoding: chunked\r\n", FIVE, b"1.0"),
    "coding with parameter": post(b"Transfer-Encoding: chunked;a=b\r\n", FIVE),
    "coding quoted": post(b'Transfer-Encoding: "chunked"\r\n', FIVE),
    "coding empty with length": post(b"Transfer-Encoding: \r\nContent-Length: 5\r\n"),
}
CHUNKS = {
    "LF in a chunk extension": chunks(b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "chunk size ended by LF": chunks(b"5\nhello\r\n0\r\n\r\n"),
    "chunk data ended by LF": chunks(b"5\r\nhello\n0\r\n\r\n"),
    "chunk data ended by XX": chunks(b"5\r\nhelloXX0\r\n\r\n"),
    "chunk data ended by nothing": chunks(b"5\r\nhello0\r\n\r\n"),
    "chunk size 0x5": chunks(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with leading space": chunks(b" 5\r\nhello\r\n0\r\n\r\n"),
    "chunk size +5": chunks(b"+5\r\nhello\r\n0\r\n\r\n"),
    "chunk size -5": chunks(b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk size 0_5": chunks(b"0_5\r\nhello\r\n0\r\n\r\n"),
    "chunk size overflowing": chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "chunk size empty": chunks(b"\r\nhello\r\n0\r\n\r\n"),
    "last chunk ended by LF": chunks(b"5\r\nhello\r\n0\n\r\n"),
    "last chunk and trailers ended by LF": chunks(b"5\r\nhello\r\n0\r\n\n"),
    "chunk lines ended by CR": chunks(b"5\rhello\r0\r\r"),
}
CUTS = {
    "body cut by EOF, length": post(b"Content-Length: 50\r\n"),
    "body cut by EOF, chunk": chunks(b"50\r\nhello"),
}
FIELDS = {
    "bare LF in the head": get(fields=b"Host: a\nX: b\r\n"),
    "bare CR in a value": get(fields=H + b"X: a\rb\r\n"),
    "folded line": get(fields=H + b"X: a\r\n b\r\n"),
    "NUL in a value": get(fields=H + b"X: a\x00b\r\n"),
    "control in a value": get(fields=H + b"X: a\x01b\r\n"),
    "name with parenthesis": get(fields=H + b"X(: a\r\n"),
    "name empty": get(fields=H + b": a\r\n"),
    "name with space": get(fields=H + b"X Y: a\r\n"),
    "name with 8-bit": get(fields=H + b"X\xe9: a\r\n"),
    "name with Kelvin sign": get(fields=H + "\u212aey: a\r\n".encode()),
    "no colon": get(fields=H + b"Xab\r\n"),
}
HOSTS = {
    "no Host": get(fields=b"X: a\r\n"),
    "two Hosts": get(fields=H + b"Host: b\r\n"),
    "Host with path": get(fields=b"Host: a/admin?x=\r\n"),
    "Host with user": get(fields=b"Host: a@b\r\n"),
    "Host with space": get(fields=b"Host: a b\r\n"),
    "Host list": get(fields=b"Host: a,b\r\n"),
}
LINES = {
    "target @evil": get(b"@evil/x"),
    "target without slash": get(b"x"),
    "POST *": b"POST * HTTP/1.1\r\n" + H + b"\r\n",
    "authority form": get(b"a:80"),
    "CONNECT": b"CONNECT a:80 HTTP/1.1\r\n" + H + b"\r\n",
    "fragment": get(b"/x#y"),
    "space in target": get(b"/x y"),
    "backslash": get(b"/x\\y"),
    "NUL in target": get(b"/x\x00y"),
    "8-bit in target": get(b"/x\xe9y"),
    "HTTP/2.0": get(version=b"HTTP/2.0"),
    "HTTP/0.9 line": b"GET /x\r\n",
    "lower-case version": get(version=b"http/1.1"),
    "trailing space": get(version=b"HTTP/1.1 "),
    "HTTP/1.10": get(version=b"HTTP/1.10"),
    "lower-case method": b"get /x HTTP/1.1\r\n" + H + b"\r\n",
    "method with parenthesis": b"PO(ST /x HTTP/1.1\r\n" + H + b"\r\n",
    "leading space": b" GET /x HTTP/1.1\r\n" + H + b"\r\n",
    "leading garbage": b"\x00\xffGET /x HTTP/1.1\r\n" + H + b"\r\n",
    "tab separators": b"GET\t/x\tHTTP/1.1\r\n" + H + b"\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}
MUST_REFUSE = LENGTHS | CODINGS | CHUNKS | CUTS | FIELDS | HOSTS | LINES

POLICY_REFUSE = {
    "equal duplicate length": post(b"Content-Length: 5\r\nContent-Length: 5\r\n"),
    "length list of equals": post(b"Content-Length: 5, 5\r\n"),
    "gzip, chunked": post(b"Transfer-Encoding: gzip, chunked\r\n", FIVE),
    "leading comma": post(b"Transfer-Encoding: ,chunked\r\n", FIVE),
    "Transfer_Encoding": post(b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n"),
    "chunk size with trailing space": chunks(b"5 \r\nhello\r\n0\r\n\r\n"),
    "all LF": b"GET /x HTTP/1.1\nHost: a\n\n",
    "DEL in a value": get(fields=H + b"X: a\x7fb\r\n"),
    "empty Host": get(fields=b"Host: \r\n"),
    "absolute form": get(b"http://evil/x"),
    "absolute form that matches": get(b"http://a/x"),
    "double slash": get(b"//x"),
    "double slash inside": get(b"/x//y"),
    "dot segment": get(b"/x/../y"),
    "dot segment at the end": get(b"/x/.."),
    "single dot": get(b"/./x"),
    "encoded dots": get(b"/x/%2e%2E/y"),
    "mixed dots": get(b"/x/.%2e%2fy"),
    "dots between encoded slashes": get(b"/x%2f..%2Fy"),
    "dots with parameters": get(b"/x/..;/y"),
    "dots with encoded parameters": get(b"/x/..%3ba/y"),
    "%00": get(b"/x%00"),
    "%0d%0a": get(b"/x%0d%0aX:y"),
    "%5c": get(b"/x%5cy"),
    "bad percent": get(b"/x%zz"),
    "cut percent": get(b"/x%2"),
    "raw UTF-8": get("/x\u00e9".encode()),
    "raw UTF-8 in the query": get("/x?\u00e9".encode()),
    "markup": get(b"/<x>"),
    "HTTP/1.2": get(version=b"HTTP/1.2"),
    "unknown method": b"BREW /x HTTP/1.1\r\n" + H + b"\r\n",
    "method of another protocol": b"PROPFIND /x HTTP/1.1\r\n" + H + b"\r\n",
    "TRACE": b"TRACE /x HTTP/1.1\r\n" + H + b"\r\n",
    "odd Expect": post(b"Expect: 200-ok\r\nContent-Length: 5\r\n"),
    "h2c upgrade": post(
        b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n",
    ),
    "websocket upgrade": post(
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
    ),
    "Upgrade alone": get(fields=H + b"Upgrade: websocket\r\n"),
    "HTTP/0.9 with blank line": b"GET /x\r\n\r\n",
    "Host with long port": get(fields=b"Host: a:123456\r\n"),
}

# request → the body the application must have seen
MUST_ACCEPT = {
    "plain length": (post(b"Content-Length: 5\r\n"), b"hello"),
    "chunked": (chunks(FIVE), b"hello"),
    "coding in any case": (post(b"transfer-encoding: CHUNKED\r\n", FIVE), b"hello"),
    "chunk extension": (chunks(b"5;a=b\r\nhello\r\n0\r\n\r\n"), b"hello"),
    "length 00005": (post(b"Content-Length: 00005\r\n"), b"hello"),
    "tab before chunked": (post(b"Transfer-Encoding: \tchunked\r\n", FIVE), b"hello"),
    "trailers": (chunks(b"5\r\nhello\r\n0\r\nX-User: root\r\n\r\n"), b"hello"),
    "trailer Content-Length": (chunks(b"5\r\nhello\r\n0\r\nX-A: 5\r\n\r\n"), b"hello"),
    "long zero-padded chunk size": (chunks(b"0" * 60 + b"5\r\nhello\r\n0\r\n\r\n"), b"hello"),
    "8-bit header text": (get(fields=H + b"X: caf\xe9\r\n"), b""),
    "%2f in the path": (get(b"/x%2fy%3Az"), b""),
    "%26 in the query": (get(b"/x?a=%26b|{}"), b""),
    "HTTP/1.0 with keep-alive": (
        get(version=b"HTTP/1.0", fields=b"Connection: keep-alive\r\n"),
        b"",
    ),
    "leading CRLF": (b"\r\n\r\n" + get(), b""),
    "GET with a body": (get(fields=H + b"Content-Length: 5\r\n") + b"hello", b"hello"),
    "IPv6 Host": (get(fields=b"Host: [::1]:8080\r\n"), b""),
    "CRLF after the body": (post(b"Content-Length: 5\r\n") + b"\r\n", b"hello"),
}


@pytest.fixture(autouse=True)
def _forget(echo: Any) -> None:
    echo.app.seen.clear()


def test_the_corpus_is_whole() -> None:
    assert len(MUST_REFUSE) == 88


@pytest.mark.parametrize("name", MUST_REFUSE | POLICY_REFUSE)
def test_refused_without_reaching_the_application(echo: Any, name: str) -> None:
    request = (MUST_REFUSE | POLICY_REFUSE)[name]
    with echo.connect() as wire:
        wire.send(request if name in CUTS else request + SMUGGLED)
        if name in CUTS:
            wire.half_close()
        answer = wire.read_all()
    assert echo.app.seen == []
    if name in CUTS:
        assert answer == b""
    else:
        assert answer[:10] in (b"HTTP/1.1 4", b"HTTP/1.1 5")
        assert answer.count(b"HTTP/1.1") == 1
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.endswith(b"\r\nconnection: close\r\ncontent-length: %d" % len(body))
        said = json.loads(body)["error"]
        assert said["code"] == "bad_request"
        assert 20 < len(said["message"]) < 200


@pytest.mark.parametrize("name", [name for name in MUST_REFUSE | POLICY_REFUSE if name not in CUTS])
def test_refused_at_one_byte_a_time(echo: Any, name: str) -> None:
    request = (MUST_REFUSE | POLICY_REFUSE)[name]
    with echo.connect() as wire:
        for index in range(len(request)):
            wire.send(request[index : index + 1])
        assert wire.read_all()[:10] in (b"HTTP/1.1 4", b"HTTP/1.1 5")
    assert echo.app.seen == []


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (LENGTHS["length then coding"], 400),
        (CODINGS["gzip"], 501),
        (CODINGS["xchunked"], 501),
        (CODINGS["coding in HTTP/1.0"], 501),
        (LINES["HTTP/2.0"], 505),
        (LINES["HTTP/0.9 line"], 408),
        (POLICY_REFUSE["TRACE"], 405),
        (POLICY_REFUSE["odd Expect"], 417),
        (POLICY_REFUSE["h2c upgrade"], 400),
        (get(b"/" + b"a" * 8192), 414),
        (get(fields=H + b"X: " + b"a" * 32768 + b"\r\n"), 431),
        (get(fields=H + b"X: a\r\n" * 100), 431),
        (b"\r\n" * 33 + get(), 400),
        (post(b"Content-Length: 67108865\r\n"), 413),
        (chunks(b"5\r\nhello\r\n0\r\nX: " + b"a" * 4096 + b"\r\n\r\n"), 431),
        (chunks(b"1;" + b"a" * 5000 + b"\r\nh\r\n"), 400),
    ],
)
def test_the_status_names_the_reason(echo: Any, request_bytes: bytes, status: int) -> None:
    with echo.connect() as wire:
        wire.send(request_bytes)
        assert wire.read_all().startswith(b"HTTP/1.1 %d " % status)
    assert echo.app.seen == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        get(b"/" + b"a" * 8191),
        get(fields=H + b"X: " + b"a" * 30000 + b"\r\n"),
        get(fields=H + b"X: a\r\n" * 99),
        b"\r\n" * 32 + get(),
    ],
)
def test_the_limit_itself_passes(echo: Any, request_bytes: bytes) -> None:
    assert echo.ask(request_bytes).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("name", MUST_ACCEPT)
@pytest.mark.parametrize("bytewise", [False, True])
def test_accepted_and_understood(echo: Any, name: str, *, bytewise: bool) -> None:
    request, body = MUST_ACCEPT[name]
    with echo.connect() as wire:
        step = 1 if bytewise else len(request)
        for index in range(0, len(request), step):
            wire.send(request[index : index + step])
        answer = wire.read_all()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n" + body)
    ((_scope, seen),) = echo.app.seen
    assert seen == body


def test_expect_100_continue_is_answered_before_the_body(echo: Any) -> None:
    with echo.connect() as wire:
        wire.send(post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b""))
        assert wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(b"hello")
        assert b" 200 " in wire.read_until(b"hello")


def test_path_and_query_arrive_as_sent(echo: Any) -> None:
    target = b"/model/arn%3Aaws%3Abedrock%2Fx/converse?a=%26b&c=d%20e"
    echo.ask(get(target))
    ((scope, _body),) = echo.app.seen
    assert scope["raw_path"] + b"?" + scope["query_string"] == target
    assert scope["path"] == "/model/arn:aws:bedrock/x/converse"


def test_trailers_never_reach_the_application(echo: Any) -> None:
    with echo.connect() as wire:
        wire.send(chunks(b"5\r\nhello\r\n0\r\nAuthorization: evil\r\nX-User: root\r\n\r\n"))
        wire.read_until(b"hello")
    time.sleep(0.05)
    ((scope, _body),) = echo.app.seen
    assert [name for name, _value in scope["headers"]] == [b"host", b"transfer-encoding"]


def test_field_values_lose_blanks_and_tabs_and_nothing_else(echo: Any) -> None:
    echo.ask(get(fields=H + b"X: \t \x85a\xa0 \t\r\n"))
    ((scope, _body),) = echo.app.seen
    assert dict(scope["headers"])[b"x"] == b"\x85a\xa0"


def test_a_pipelined_request_is_not_served_and_the_first_is_answered(echo: Any) -> None:
    answer = echo.ask(post(b"Content-Length: 5\r\n") + SMUGGLED)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in answer
    assert len(echo.app.seen) == 1


def test_a_request_after_connection_close_is_ignored(echo: Any) -> None:
    answer = echo.ask(get(fields=H + b"Connection: close\r\n") + SMUGGLED)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert len(echo.app.seen) == 1


def test_garbage_after_a_request_never_breaks_into_its_response(echo: Any) -> None:
    answer = echo.ask(get(fields=H) + b"\x00garbage\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_requests_one_after_another_share_a_connection(echo: Any) -> None:
    with echo.connect() as wire:
        for body in (b"one", b"two", b"three"):
            wire.send(post(b"Content-Length: %d\r\n" % len(body), body))
            assert b"connection: close" not in wire.read_until(b"\r\n\r\n" + body)
    assert [seen for _scope, seen in echo.app.seen] == [b"one", b"two", b"three"]


def test_a_broken_request_after_a_good_one_is_refused(echo: Any) -> None:
    with echo.connect() as wire:
        wire.send(get())
        wire.read_until(b"\r\n\r\n")
        wire.send(get(b"//admin"))
        assert wire.read_all().startswith(b"HTTP/1.1 400 ")
    assert len(echo.app.seen) == 1


def test_a_body_that_breaks_after_the_response_began_gets_no_second_status(serve: Any) -> None:
    async def early(_scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    with serve(early).connect() as wire:
        wire.send(chunks(b"5\r\nhello\r\n"))
        answer = wire.read_until(b"begun")
        wire.send(b"not a chunk\r\n")
        answer += wire.read_all()
    assert answer.count(b"HTTP/1.1") == 1
    assert not answer.endswith(b"0\r\n\r\n")


def test_every_answer_has_one_date_and_no_server(echo: Any) -> None:
    time.sleep(0.15)  # uvicorn makes its default headers on its first tick
    head = echo.ask(get()).lower()
    assert head.count(b"\r\ndate: ") == 1
    assert b"\r\nserver:" not in head
