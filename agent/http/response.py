"""What a handler answers with: a body of known length, or a stream without an end of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@dataclass(slots=True)
class Response:
    """Status, headers by lower-case name, and a body; `chunks` instead of `body` is sent until it or the client ends.

    The connection sets length or encoding itself. `chunks` is closed in every case.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str | None = None
    chunks: AsyncGenerator[bytes, None] | None = None

    def set_cookie(self, name: str, value: str, *, max_age_s: int) -> None:
        """Give the browser a cookie that no script reads and no other site uses (RFC 6265bis); 0 takes it away."""
        self.headers["set-cookie"] = f"{name}={value}; Max-Age={max_age_s}; Path=/; HttpOnly; SameSite=Strict"
