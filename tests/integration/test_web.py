"""A slicer sends, a person clicks: the whole way through a real daemon, a virtual printer and a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import socket
import struct
import sys
import threading
import time
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser, program
from tests.integration.rig import Rig, commands, spiral
from tests.unit.web.slicer_requests import CURL_BOUNDARY, prusaslicer_upload
from tests.unit.web.test_slicers import answered

KEY = "a-key-of-this-bench-0123"
# An upload must not make the daemon grow by more than its buffers, whatever its size.
UPLOADS_BYTES = (96 << 20, pytest.param(1 << 30, marks=pytest.mark.slow))
GROWTH_BYTES = 12 << 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class WebRig:
    """A rig whose daemon listens for HTTP."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.port = free_port()
        key_file = rig.folder / "api.key"
        key_file.write_text(KEY)
        key_file.chmod(0o600)
        rig.configure()
        with rig.config.open("a") as file:
            file.write(f'[http]\nlisten = "127.0.0.1:{self.port}"\napi_key_file = "{key_file}"\n')
            file.write('[metrics]\nlisten = "socket"\n')

    def start(self, speed: float) -> None:
        self.rig.start_printer(speed=speed)
        self.rig.start_daemon()
        self.rig.until_state("idle")
        self.rig.until(self._listens, "the listener is open")

    def send(self, data: bytes) -> tuple[int, dict[str, Any]]:
        """Raw bytes in, the answer out."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(data)
            received = bytearray()
            while piece := connection.recv(65536):
                received += piece
        return answered(bytes(received))

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def web(rig: Rig) -> WebRig:
    return WebRig(rig)


def test_a_prusaslicer_upload_is_printed_when_it_is_its_turn(web: WebRig) -> None:
    web.start(speed=200.0)
    part = spiral(400)
    status, document = web.send(prusaslicer_upload(web.port, KEY, part.encode(), is_print=True))
    assert status == 201
    job_id = document["files"]["local"]["fabunit"]["job_id"]
    assert web.rig.until_ended(job_id)["state"] == "completed"
    assert web.rig.executed() == commands(part)
    # The bed is occupied now: `print` means "queue", never "around the latch".
    status, document = web.send(prusaslicer_upload(web.port, KEY, spiral(20, seed=9).encode(), is_print=True))
    second = document["files"]["local"]["fabunit"]["job_id"]
    web.rig.until(lambda: web.rig.job(second)["state"] == "ready", "the second job is checked")
    assert web.rig.printer_state() == "idle"
    # What the gate refuses from the command line it refuses from a slicer.
    status, document = web.send(prusaslicer_upload(web.port, KEY, b"M104 S500\nG28\nG1 X1\n", is_print=True))
    assert status == 201
    refused = document["files"]["local"]["fabunit"]["job_id"]
    assert web.rig.until_ended(refused)["state"] == "rejected"
    assert len(web.rig.executed()) == len(commands(part))


def resident_bytes(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise AssertionError(name)


def processor_s(pid: int) -> float:
    """User and system time so far, of all threads (proc(5), fields 14 and 15)."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("size_bytes", UPLOADS_BYTES, ids=lambda size_bytes: f"{size_bytes >> 20} MiB")
def test_a_large_upload_takes_no_memory(web: WebRig, size_bytes: int) -> None:
    """`pytest -s -m slow -k takes_no_memory tests/integration/test_web.py` prints the figures of docs/http.md."""
    limits = f"min_free_bytes = 0\nmax_artefact_bytes = {size_bytes * 2}\n"
    web.rig.config.write_text(web.rig.config.read_text().replace("min_free_bytes = 0\n", limits))
    web.rig.start_daemon()
    web.rig.until(web._listens, "the listener is open")
    assert web.rig.daemon is not None
    pid = web.rig.daemon.pid
    web.send(prusaslicer_upload(web.port, KEY, spiral(20).encode(), is_print=False))
    before = resident_bytes(pid, "VmHWM")
    whole = prusaslicer_upload(web.port, KEY, b"", is_print=False, name="large.gcode")
    head, _, form = whole.partition(b"\r\n\r\n")
    begin, _, end = form.rpartition(f"\r\n--{CURL_BOUNDARY}--".encode())
    tail = f"\r\n--{CURL_BOUNDARY}--".encode() + end
    piece = (b"; " + b"x" * 61 + b"\n") * 4096
    count = size_bytes // len(piece)
    length = len(begin) + count * len(piece) + len(tail)
    head = b"\r\n".join(
        line if not line.startswith(b"Content-Length") else b"Content-Length: %d" % length
        for line in head.split(b"\r\n")
    )
    digest = hashlib.sha256()
    began_s, used_s = time.monotonic(), processor_s(pid)
    with socket.create_connection(("127.0.0.1", web.port), timeout=60) as connection:
        connection.sendall(head + b"\r\n\r\n" + begin)
        for _ in range(count):
            connection.sendall(piece)
            digest.update(piece)
        connection.sendall(tail)
        received = bytearray()
        while block := connection.recv(65536):
            received += block
    status, document = answered(bytes(received))
    assert status == 201
    assert document["files"]["local"]["hash"] == digest.hexdigest()
    after = resident_bytes(pid, "VmHWM")
    sys.stdout.write(
        f"{size_bytes >> 20} MiB: peak {before >> 20} MiB before, {after >> 20} MiB after, "
        f"{time.monotonic() - began_s:.1f} s, {processor_s(pid) - used_s:.1f} s of processor time\n"
    )
    assert after - before < GROWTH_BYTES


def test_figures_on_the_control_socket(web: WebRig) -> None:
    web.start(speed=100.0)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(web.rig.socket))
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = bytearray()
        while piece := connection.recv(65536):
            received += piece
    text = received.decode()
    assert 'fabunit_printer_state{state="idle",unit="bench-unit"} 1.0' in text
    assert 'fabunit_port_lines_sent_total{unit="bench-unit"}' in text
    assert "fabunit_host_disk_free_bytes" in text


def preview(side_px: int = 96) -> str:
    """A picture as slicers put it before the first command: a shaded disc."""
    rows = b""
    for y in range(side_px):
        rows += b"\0"
        for x in range(side_px):
            far = math.hypot(x - side_px / 2, y - side_px / 2) / (side_px / 2)
            rows += bytes((240, int(150 - 90 * far), 60)) if far < 0.9 else b"\xe9\xef\xef"
    data = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    for name, chunk in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        data += struct.pack(">I", len(chunk)) + name + chunk + struct.pack(">I", zlib.crc32(name + chunk))
    text = base64.b64encode(data).decode()
    lines = "\n".join(f"; {text[start : start + 78]}" for start in range(0, len(text), 78))
    return f"; thumbnail begin {side_px}x{side_px} {len(text)}\n{lines}\n; thumbnail end\n"


@pytest.mark.skipif(program() is None, reason="no Chromium is installed")
def test_a_person_with_a_browser(web: WebRig, tmp_path: Path) -> None:
    web.start(speed=20.0)
    part = tmp_path / "part <b>&.gcode"
    part.write_text(preview() + spiral(30_000))
    shots = Path(os.environ.get("FABUNIT_SCREENSHOTS", tmp_path))
    with Browser(tmp_path / "profile", program() or "") as browser:
        browser.screen(390, 844, phone=True)
        browser.open(f"http://127.0.0.1:{web.port}/")
        browser.until("document.body.dataset.view === 'login'")
        browser.screenshot(shots / "page-login.png")
        browser.type("#key", "not the key of this unit")
        browser.click("#login button")
        browser.until("document.querySelector('#login-error').textContent")
        browser.value("document.querySelector('#key').value = ''")
        browser.type("#key", KEY)
        browser.click("#login button")
        browser.until("document.querySelector('#state').textContent === 'ready'")
        assert "fabunit=" not in str(browser.value("document.cookie")), "no script can read the cookie"
        browser.choose_file("#file", part)
        browser.until("document.querySelector('#state').textContent === 'printing'")
        browser.until("parseFloat(document.querySelector('#percent').textContent) > 0.2")
        assert browser.text("#print-title") == part.name, "foreign text is shown as it is"
        browser.until("!document.querySelector('#picture').hidden")
        assert browser.value("document.querySelector('#picture').naturalWidth") == 96
        browser.until("document.querySelectorAll('#plot .curve').length === 2")
        assert browser.value("document.documentElement.scrollWidth") <= 390, (
            "nothing sticks out of a phone's screen"
        )
        browser.screenshot(shots / "page-phone.png")
        waiting = web.rig.submit(spiral(50, seed=3), "next.gcode")
        browser.until(f"document.querySelector('[data-job=\"{waiting}\"]')")
        browser.click(f'[data-job="{waiting}"] button')
        browser.click("#confirm-yes")
        browser.until(f"!document.querySelector('[data-job=\"{waiting}\"]')")
        browser.click("#pause")
        browser.until("document.querySelector('#state').textContent === 'paused'")
        assert web.rig.printer_state() == "paused"
        browser.screen(1280, 860)
        browser.dark(on=True)
        browser.screenshot(shots / "page-desk.png")
        browser.click("#resume")
        browser.until("document.querySelector('#state').textContent === 'printing'")
        browser.click("#cancel")
        browser.click("#confirm-no")
        assert web.rig.printer_state() == "printing", "nothing happens before it is confirmed"
        browser.click("#cancel")
        browser.screenshot(shots / "page-confirm.png", whole=False)
        browser.click("#confirm-yes")
        browser.until("document.querySelector('#state').textContent === 'ready'")
        assert web.rig.status() is not None
        browser.click("#bed-clear")
        browser.click("#confirm-yes")
        browser.until("document.querySelector('#bed-text').textContent.startsWith('Clear')")
        assert (web.rig.status() or {})["bed"] == "clear"
        browser.click("#stop")
        browser.click("#confirm-yes")
        browser.until("document.querySelector('#state').textContent === 'halted'")
        assert web.rig.printer_state() == "halted"
        web.rig.tell_printer("reset")
        browser.click("#connect")
        browser.until("document.querySelector('#state').textContent === 'ready'")
        web.rig.kill_daemon()
        browser.until("!document.querySelector('#lost').hidden")
        web.rig.start_daemon()
        browser.until("document.querySelector('#lost').hidden")
        browser.click("#logout")
        browser.until("document.body.dataset.view === 'login'")
        noise = ("403", "ERR_", "net::")
        said = [line for line in browser.complaints() if not any(word in line for word in noise)]
        assert said == [], "exceptions, or content the page's own policy blocks"


def test_another_site_cannot_use_the_browsers_cookie(web: WebRig, tmp_path: Path) -> None:
    if program() is None:
        pytest.skip("no Chromium is installed")
    web.start(speed=100.0)
    evil = free_port()
    page = (
        f"<script>fetch('http://127.0.0.1:{web.port}/v1/stop',"
        " {method: 'POST', credentials: 'include', mode: 'no-cors'})"
        f".finally(() => fetch('http://127.0.0.1:{web.port}/v1/status', {{credentials: 'include'}}))"
        ".then(() => document.title = 'read', () => document.title = 'blocked')</script>"
    )
    thread = threading.Thread(target=serve_once, args=(evil, page.encode()), daemon=True)
    thread.start()
    with Browser(tmp_path / "profile", program() or "") as browser:
        browser.open(f"http://127.0.0.1:{web.port}/")
        browser.until("document.body.dataset.view === 'login'")
        browser.type("#key", KEY)
        browser.click("#login button")
        browser.until("document.querySelector('#state').textContent === 'ready'")
        browser.call("Page.navigate", url=f"http://localhost:{evil}/")
        browser.until("document.title")
        assert browser.value("document.title") == "blocked"
    assert web.rig.printer_state() == "idle", "the stop of a foreign page was not obeyed"


def serve_once(port: int, page: bytes) -> None:
    """Serve one page to whoever asks, until the test is over."""
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
                connection.sendall(head % len(page) + page)


def test_a_listener_that_cannot_open_is_a_warning_and_no_more(web: WebRig) -> None:
    with socket.create_server(("127.0.0.1", web.port)):
        web.rig.start_printer(speed=100.0)
        web.rig.start_daemon()
        web.rig.until_state("idle")
        web.rig.until(
            lambda: any("http does not listen" in said for said in (web.rig.status() or {})["warnings"]),
            "the warning",
        )
    web.rig.until(web._listens, "it opens as soon as it can")
    request = urllib.request.Request(f"http://127.0.0.1:{web.port}/api/version", headers={"X-Api-Key": KEY})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["text"].startswith("OctoPrint")
