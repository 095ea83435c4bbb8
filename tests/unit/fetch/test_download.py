from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from ipaddress import ip_address

import pytest

from agent.coordinator.fetch.addresses import IPAddress
from agent.coordinator.fetch.order import FetchOrder
from agent.coordinator.fetch.pace import FetchLimits
from agent.domain.errors import StorageError
from agent.domain.fetching import FetchError
from tests.unit.fetch.conftest import DATA, Fetch, MakeOrder, Serve
from tests.unit.fetch.file_server import Request, head, ranged, redirect, whole

HALF = len(DATA) // 2


def failure(fetch: Fetch, order: FetchOrder) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetch(order)
    return caught.value


def is_complete(order: FetchOrder) -> bool:
    return hashlib.sha256(order.part.read_bytes()).hexdigest() == order.sha256


def test_a_file_arrives_whole(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    server = serve(whole(DATA))
    order = make_order(server.url)
    assert fetch(order) == len(DATA)
    assert is_complete(order)
    assert order.part.stat().st_mode & 0o777 == 0o600
    (request,) = server.requests
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert "range" not in request.headers


def test_a_complete_part_needs_no_server(make_order: MakeOrder, fetch: Fetch) -> None:
    order = make_order("http://127.0.0.1:1/nobody")
    order.part.write_bytes(DATA)
    assert fetch(order) == 0


@pytest.mark.parametrize("chunk", [1000, len(DATA)])
def test_chunked_and_endless_bodies(serve: Serve, make_order: MakeOrder, fetch: Fetch, chunk: int) -> None:
    def chunked(_: Request) -> Iterable[bytes]:
        yield head("200 OK", "Transfer-Encoding: chunked")
        for start in range(0, len(DATA), chunk):
            piece = DATA[start : start + chunk]
            yield b"%x;note=1\r\n%b\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"

    assert fetch(make_order(serve(chunked).url)) == len(DATA)
    order = make_order(serve(lambda _: [head("200 OK"), DATA, b"and more" * 100_000]).url)
    order.part.unlink()
    assert fetch(order) == len(DATA)
    assert is_complete(order)


def test_a_cut_download_goes_on_where_it_stopped(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    cut = serve(lambda _: [head("200 OK", f"Content-Length: {len(DATA)}"), DATA[:HALF]])
    order = make_order(cut.url)
    error = failure(fetch, order)
    assert error.code == "interrupted"
    assert error.is_transient
    assert error.received_bytes == HALF
    good = serve(ranged(DATA))
    assert fetch(make_order(good.url)) == len(DATA) - HALF
    assert good.requests[0].offset == HALF
    assert is_complete(order)


def test_a_server_without_ranges_sends_all_again(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    order = make_order(serve(whole(DATA)).url)
    order.part.write_bytes(DATA[:HALF])
    assert fetch(order) == len(DATA)
    assert is_complete(order)


def test_a_kept_beginning_of_another_file_is_dropped(
    serve: Serve, make_order: MakeOrder, fetch: Fetch
) -> None:
    server = serve(ranged(DATA))
    order = make_order(server.url)
    order.part.write_bytes(b"\0" * HALF)
    fetch(order)
    assert is_complete(order)
    assert [request.offset for request in server.requests] == [HALF, 0]


@pytest.mark.parametrize(
    "content_range",
    [
        f"bytes 0-{len(DATA) - 1}/{len(DATA)}",
        f"bytes {HALF}-{len(DATA)}/{len(DATA) + 1}",
        f"bytes {HALF}-{len(DATA) - 1}/{len(DATA) + 7}",
        f"bytes {HALF}-{len(DATA) - 2}/{len(DATA)}",
        "bytes */0",
        "lines 1-2/3",
        "",
    ],
)
def test_a_lying_range_is_not_believed(
    serve: Serve, make_order: MakeOrder, fetch: Fetch, content_range: str
) -> None:
    def lie(request: Request) -> Iterable[bytes]:
        if not request.offset:
            return whole(DATA)(request)
        return [head("206 Partial Content", f"Content-Range: {content_range}"), DATA[request.offset :]]

    server = serve(lie)
    order = make_order(server.url)
    order.part.write_bytes(DATA[:HALF])
    assert fetch(order) == len(DATA)
    assert is_complete(order)


def test_a_range_with_other_bytes_is_fetched_anew(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    def lie(request: Request) -> Iterable[bytes]:
        return ranged(DATA[:HALF] + bytes(HALF) if request.offset else DATA)(request)

    order = make_order(serve(lie).url)
    order.part.write_bytes(DATA[:HALF])
    fetch(order)
    assert is_complete(order)


def test_unsatisfiable_ranges_start_over(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    def answer(request: Request) -> Iterable[bytes]:
        return [head("416 Range Not Satisfiable")] if request.offset else whole(DATA)(request)

    order = make_order(serve(answer).url)
    order.part.write_bytes(DATA[:HALF])
    fetch(order)
    assert is_complete(order)


def test_a_partial_answer_nobody_asked_for(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    order = make_order(serve(lambda _: [head("206 Partial Content"), DATA]).url)
    assert failure(fetch, order).code == "http_refused"


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1, 0, 1 << 62])
def test_a_wrong_length_is_refused_before_the_body(
    serve: Serve, make_order: MakeOrder, fetch: Fetch, size: int
) -> None:
    order = make_order(serve(lambda _: [head("200 OK", f"Content-Length: {size}"), DATA]).url)
    error = failure(fetch, order)
    assert error.code == "wrong_length"
    assert not error.is_transient
    assert not order.part.exists()


def test_other_bytes_are_refused_and_not_kept(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    order = make_order(serve(whole(bytes(len(DATA)))).url)
    error = failure(fetch, order)
    assert error.code == "hash_mismatch"
    assert not error.is_transient
    assert not order.part.exists()


def test_an_endless_body_is_read_no_further_than_the_file(
    serve: Serve, make_order: MakeOrder, fetch: Fetch
) -> None:
    def endless(_: Request) -> Iterable[bytes]:
        yield head("200 OK")
        while True:
            yield bytes(65536)

    server = serve(endless)
    assert failure(fetch, make_order(server.url)).code == "hash_mismatch"
    # What the socket buffers took; nothing else was read.
    assert server.sent_bytes < len(DATA) + (16 << 20)


def test_a_gzip_bomb_is_not_unpacked(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    order = make_order(serve(lambda _: [head("200 OK", "Content-Encoding: gzip"), bomb]).url)
    assert failure(fetch, order).code == "content_encoded"


def test_redirects_are_followed_three_times(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    def step(request: Request) -> Iterable[bytes]:
        left = int(request.path.rpartition("/")[2])
        return redirect(f"/{left - 1}")(request) if left else whole(DATA)(request)

    server = serve(step)
    base = server.url.rpartition("/")[0]
    assert fetch(make_order(f"{base}/3")) == len(DATA)
    (make_order(server.url).part).unlink()
    assert failure(fetch, make_order(f"{base}/4")).code == "too_many_redirects"


def test_a_redirect_loop_ends(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    server = serve(redirect("/part.gcode", "301 Moved Permanently"))
    assert failure(fetch, make_order(server.url)).code == "too_many_redirects"
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "address_refused"),
        ("http://[::ffff:127.0.0.1]/x", "address_refused"),
        ("http://[64:ff9b::7f00:1]/x", "address_refused"),
        ("http://10.0.0.1/x", "address_refused"),
        ("http://2130706433/x", "redirect_refused"),
        ("file:///etc/passwd", "redirect_refused"),
        ("http://u:p@127.0.0.1/x", "redirect_refused"),
        ("", "redirect_refused"),
    ],
)
def test_redirects_cannot_lead_inside(
    serve: Serve, make_order: MakeOrder, fetch: Fetch, location: str, code: str
) -> None:
    error = failure(fetch, make_order(serve(redirect(location)).url))
    assert error.code == code
    assert not error.is_transient


def test_a_redirect_to_a_host_that_is_not_listed(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    order = make_order(serve(redirect("http://evil.example/x")).url, allowed=("127.0.0.1", "files.example"))
    assert failure(fetch, order).code == "host_not_allowed"


def test_a_name_that_leads_inside_is_refused(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    server = serve(whole(DATA))
    asked: list[str] = []

    def resolver(host: str, port: int) -> tuple[IPAddress, ...]:
        asked.append(host)
        return (ip_address("127.0.0.1"), ip_address("::1"), ip_address("192.168.0.1"))

    order = make_order(f"http://files.example:{server.port}/x", allowed=())
    with pytest.raises(FetchError) as caught:
        fetch(order, resolver)
    assert caught.value.code == "address_refused"
    assert not server.requests
    assert asked == ["files.example"]


def test_the_name_is_resolved_once_and_the_checked_address_connected(
    serve: Serve, make_order: MakeOrder, fetch: Fetch
) -> None:
    server = serve(whole(DATA))
    answers = [(ip_address("127.0.0.1"),), (ip_address("10.0.0.1"),)]

    def rebinding(host: str, port: int) -> tuple[IPAddress, ...]:
        return answers.pop(0)

    order = make_order(f"http://files.example:{server.port}/x")
    assert fetch(order, rebinding) == len(DATA)
    assert len(answers) == 1
    assert server.requests[0].headers["host"] == f"files.example:{server.port}"


def test_each_redirect_is_resolved_and_checked_anew(
    serve: Serve, make_order: MakeOrder, fetch: Fetch
) -> None:
    server = serve(redirect("/again"))
    answers = [(ip_address("127.0.0.1"),), (ip_address("10.0.0.1"),)]

    def rebinding(host: str, port: int) -> tuple[IPAddress, ...]:
        return answers.pop(0)

    with pytest.raises(FetchError) as caught:
        fetch(make_order(f"http://files.example:{server.port}/x"), rebinding)
    assert caught.value.code == "address_refused"


def test_credentials_go_to_the_first_origin_only(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    other = serve(whole(DATA))
    first = serve(redirect(other.url))
    fetch(make_order(first.url, authorization="Bearer secret"))
    assert first.requests[0].headers["authorization"] == "Bearer secret"
    assert "authorization" not in other.requests[0].headers
    assert not {"cookie", "referer"} & other.requests[0].headers.keys()


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("404 Not Found", ("http_refused", False, None)),
        ("403 Forbidden", ("http_refused", False, None)),
        ("304 Not Modified", ("http_refused", False, None)),
        ("503 Busy|Retry-After: 7", ("http_busy", True, 7.0)),
        ("429 Slow down|Retry-After: 999999999", ("http_busy", True, 3600.0)),
        ("500 Oops|Retry-After: soon", ("http_busy", True, None)),
    ],
)
def test_what_statuses_mean(
    serve: Serve,
    make_order: MakeOrder,
    fetch: Fetch,
    status: str,
    told: tuple[str, bool, float | None],
) -> None:
    error = failure(fetch, make_order(serve(lambda _: [head(*status.split("|"))]).url))
    assert (error.code, error.is_transient, error.retry_after_s) == told


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", "interrupted"),
        (b"220 ftp ready\r\n", "bad_response"),
        (b"HTTP/1.1 abc\r\n\r\n", "bad_response"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "bad_response"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "bad_response"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "interrupted"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc", "interrupted"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 70_000, "bad_response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc", "interrupted"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nabc" % len(DATA), "interrupted"),
    ],
)
def test_broken_http_is_an_error_of_its_own(
    serve: Serve, make_order: MakeOrder, fetch: Fetch, answer: bytes, code: str
) -> None:
    error = failure(fetch, make_order(serve(lambda _: [answer]).url))
    assert error.code == code
    assert error.is_transient


def test_a_trickling_header_is_cut_off(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    def trickle(_: Request) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\n"
        while not server.released.wait(0.02):
            yield b"X: y\r\n"

    server = serve(trickle)
    limits = FetchLimits(header_s=0.4, min_free_bytes=0)
    assert failure(fetch, make_order(server.url, limits=limits)).code == "too_slow"


def test_a_trickling_body_is_cut_off_and_kept(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    def trickle(_: Request) -> Iterable[bytes]:
        yield head("200 OK", f"Content-Length: {len(DATA)}")
        for byte in DATA:
            yield bytes([byte])
            if server.released.wait(0.02):
                return

    server = serve(trickle)
    order = make_order(server.url, limits=FetchLimits(window_s=0.4, min_rate_bytes_s=4096, min_free_bytes=0))
    error = failure(fetch, order)
    assert error.code == "too_slow"
    assert order.part.stat().st_size == error.received_bytes > 0


def test_a_silent_server_is_cut_off(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    def silent(_: Request) -> Iterable[bytes]:
        yield head("200 OK")
        server.released.wait(10)

    server = serve(silent)
    limits = FetchLimits(idle_s=0.3, min_free_bytes=0)
    assert "silent" in failure(fetch, make_order(server.url, limits=limits)).message


def test_nobody_listens(make_order: MakeOrder, fetch: Fetch) -> None:
    error = failure(fetch, make_order("http://127.0.0.1:9/x"))
    assert error.code == "unreachable"
    assert error.is_transient


def test_the_second_address_is_tried(serve: Serve, make_order: MakeOrder, fetch: Fetch) -> None:
    server = serve(whole(DATA))
    addresses = (ip_address("127.0.0.2"), ip_address("127.0.0.1"))
    order = make_order(f"http://files.example:{server.port}/x", allowed=("127.0.0.0/8",))
    assert fetch(order, lambda _host, _port: addresses) == len(DATA)


def test_a_full_disk_is_said_before_a_byte_is_asked_for(
    serve: Serve, make_order: MakeOrder, fetch: Fetch
) -> None:
    server = serve(whole(DATA))
    limits = FetchLimits(min_free_bytes=1 << 60)
    with pytest.raises(StorageError) as caught:
        fetch(make_order(server.url, limits=limits))
    assert caught.value.code == "disk_full"
    assert not server.requests
