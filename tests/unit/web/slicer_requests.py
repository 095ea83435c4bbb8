"""The requests slicers send to OctoPrint, byte for byte, from their public sources.

PrusaSlicer 2.9, OrcaSlicer (src/slic3r/Utils/OctoPrint.cpp, Http.cpp): `GET api/version`, then libcurl formadd with
`print`, `path`, `file`. Cura (OctoPrintPlugin 3.7): Qt's QHttpMultiPart with `path`, `file`, then `select` and `print`.
"""

from __future__ import annotations

CURL_BOUNDARY = "------------------------d74496d66958873e"
QT_BOUNDARY = "boundary_.oOo._NjQ2NzQ4MjE2Nzk4NzY1NDMyMQ=="


def prusaslicer_version(port: int, key: str) -> bytes:
    """The connection test, also sent before every upload."""
    return (
        f"GET /api/version HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: PrusaSlicer/2.9.0\r\nAccept: */*\r\n"
        f"X-Api-Key: {key}\r\nConnection: close\r\n\r\n"
    ).encode()


def prusaslicer_upload(
    port: int,
    key: str,
    gcode: bytes,
    *,
    is_print: bool,
    path: str = "",
    name: str = "part_0.2mm_PLA_MK3S_12m.gcode",
) -> bytes:
    """`Upload` and `Upload and Print`."""
    fields = {"print": "true" if is_print else "false", "path": path}
    body = b"".join(
        f'--{CURL_BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields.items()
    )
    body += (
        f'--{CURL_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    body += gcode + f"\r\n--{CURL_BOUNDARY}--\r\n".encode()
    # libcurl asks first before it sends more than a megabyte.
    expect = "Expect: 100-continue\r\n" if len(body) > 1 << 20 else ""
    head = (
        f"POST /api/files/local HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: PrusaSlicer/2.9.0\r\nAccept: */*\r\n"
        f"X-Api-Key: {key}\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={CURL_BOUNDARY}\r\n{expect}Connection: close\r\n\r\n"
    )
    return head.encode() + body


def cura_upload(port: int, key: str, gcode: bytes, *, is_print: bool, name: str = "UM3_part.gcode") -> bytes:
    """`Print with OctoPrint`: the flags come behind the file."""

    def part(kind: str, disposition: str, data: bytes) -> bytes:
        head = f"--{QT_BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
        return head.encode() + data + b"\r\n"

    body = part("text/plain", 'name="path"', b"")
    body += part("application/octet-stream", f'name="file"; filename="{name}"', gcode)
    if is_print:
        body += part("text/plain", 'name="select"', b"true") + part("text/plain", 'name="print"', b"true")
    body += f"--{QT_BOUNDARY}--\r\n".encode()
    head = (
        f"POST /api/files/local HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        "User-Agent: Cura/5.9.0 OctoPrintPlugin/3.7.3 (Linux)\r\n"
        f'X-Api-Key: {key}\r\nContent-Type: multipart/form-data; boundary="{QT_BOUNDARY}"\r\nMIME-Version: 1.0\r\n'
        f"Content-Length: {len(body)}\r\nConnection: close\r\nAccept-Encoding: gzip, deflate\r\n\r\n"
    )
    return head.encode() + body
