"""Fetching artefacts: how a download can fail, and whether trying again can help. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.errors import FabunitError


class FetchError(FabunitError):
    """An artefact cannot be had from where its job says.

    Permanent codes (the order or its server is wrong): bad_url, host_not_allowed, address_refused,
    redirect_refused, too_many_redirects, http_refused, content_encoded, wrong_length, too_large,
    hash_mismatch, bad_ciphertext, no_source.
    Transient codes (later may be better): name_not_found, unreachable, tls_failed, http_busy, bad_response,
    interrupted, too_slow, timed_out, fetch_busy, fetch_crashed.

    `retry_after_s` is what the server asked for, None when it said nothing. `received_bytes` is how much of
    the file is on disk and will not be fetched again.
    """

    code = "fetch_failed"
    exit_code = 4
    http_status = 502

    def __init__(
        self,
        message: str,
        *,
        code: str,
        remedy: str = "",
        is_transient: bool = False,
        retry_after_s: float | None = None,
        received_bytes: int = 0,
    ) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.is_transient = is_transient
        self.retry_after_s = retry_after_s
        self.received_bytes = received_bytes

    def to_wire(self) -> dict[str, Any]:
        """Return the error for the pipe between daemon and worker."""
        return {
            **self.to_dict(),
            "is_transient": self.is_transient,
            "retry_after_s": self.retry_after_s,
            "received_bytes": self.received_bytes,
        }

    @classmethod
    def from_wire(cls, document: Mapping[str, Any]) -> FetchError:
        """Return the error a worker reported. Raises KeyError, TypeError, ValueError for anything else."""
        retry_after = document["retry_after_s"]
        return cls(
            str(document["message"]),
            code=str(document["code"]),
            remedy=str(document["remedy"]),
            is_transient=bool(document["is_transient"]),
            retry_after_s=None if retry_after is None else float(retry_after),
            received_bytes=int(document["received_bytes"]),
        )
