"""TLS to the broker: a context that always verifies, and what its failures mean in words."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

from agent.coordinator.messages import Closed, CloseKind

# X509_V_ERR_* of OpenSSL, as SSLCertVerificationError.verify_code tells them.
_NOT_YET_VALID = 9
_EXPIRED = 10
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})
_REVOKED = 23
_WRONG_HOST = frozenset({62, 64})
# Alerts a broker sends when it dislikes our certificate; under TLS 1.3 they come with the first read.
_ALERTS = {
    "certificate required": "the broker wants a client certificate: set client_cert and client_key",
    "bad certificate": "the broker does not take the client certificate: is it from the right authority?",
    "unknown ca": "the broker does not know the authority of the client certificate",
    "certificate expired": "the client certificate has expired: get a new one",
    "certificate revoked": "the client certificate was revoked: get a new one",
    "certificate unknown": "the broker does not take the client certificate",
    "handshake failure": "broker and unit have no TLS version or cipher in common, or a certificate is missing",
    "protocol version": "the broker speaks only an old TLS version: TLS 1.2 is the least",
}
CERTIFICATE_DOUBT = (
    "it may not take the client certificate: is it expired, revoked, or from another authority?"
)
"""The remedy where a broker hangs up without a word: under TLS 1.3 its alert can be lost in the reset behind it."""


class _ClosingSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: the caller in paho loses it."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature is ssl's
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def context(ca_file: Path | None, client_cert: Path | None, client_key: Path | None) -> ssl.SSLContext:
    """Return a context that checks chain and host name; `ca_file` replaces the system's authorities.

    Raises OSError (SSLError among them) for files that cannot be used.
    """
    made = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    made.sslsocket_class = _ClosingSocket
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if client_cert is not None:
        made.load_cert_chain(str(client_cert), str(client_key) if client_key else None)
    return made


def explain(error: BaseException, host: str, *, is_clock_set: bool) -> Closed:
    """Return what a failed connection attempt means and what to do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error, host, is_clock_set=is_clock_set)
    if isinstance(error, ssl.SSLError):
        return alert(str(error)) or Closed(
            CloseKind.TLS,
            f"TLS failed: {error.reason or error}",
            "does the broker speak TLS on this port? mqtts:// is for TLS, mqtt:// for none",
        )
    if isinstance(error, socket.gaierror):
        return _nameless(error, host)
    if isinstance(error, TimeoutError):
        does = "takes connections and does not answer TLS" if "handshake" in str(error) else "does not answer"
        return Closed(CloseKind.TCP, f"{host} {does}", "check the address, the port and firewalls")
    if isinstance(error, ConnectionRefusedError):
        return Closed(CloseKind.TCP, f"{host} refuses connections on this port", "is the broker running?")
    if isinstance(error, OSError):
        return Closed(CloseKind.TCP, f"{host}: {error.strerror or error}", "check the network")
    return Closed(CloseKind.PROTOCOL, f"{type(error).__name__}: {error}", "is this a broker for MQTT 5?")


def alert(text: str) -> Closed | None:
    """Return what a TLS alert in `text` means, None where there is none."""
    lowered = text.lower().replace("_", " ")
    for words, meaning in _ALERTS.items():
        if f"alert {words}" in lowered:
            return Closed(CloseKind.CERTIFICATE, f"the broker ended the TLS handshake: {words}", meaning)
    return None


def unusable_file(error: OSError, files: tuple[Path | None, ...]) -> Closed:
    """Return the end of an attempt whose certificate files cannot be used."""
    named = ", ".join(str(path) for path in files if path)
    detail = f"{error.filename or named}: {error.strerror or error}"
    return Closed(
        CloseKind.CERTIFICATE, detail, "check ca_file, client_cert and client_key and who may read them"
    )


def _nameless(error: socket.gaierror, host: str) -> Closed:
    if error.errno == socket.EAI_AGAIN:
        remedy = "is this machine on the network? `resolvectl status` shows its name servers"
        return Closed(CloseKind.DNS, f"no name server answers for {host}", remedy)
    return Closed(
        CloseKind.DNS,
        f"the name {host} is not known: {error.strerror}",
        "check the host name in the broker's URL",
    )


def _certificate(error: ssl.SSLCertVerificationError, host: str, *, is_clock_set: bool) -> Closed:
    code = error.verify_code
    # A Pi has no battery clock: the date is told in any case, for a person to compare it with the calendar.
    clock = time.strftime("by this unit's clock, which says %Y-%m-%d %H:%M UTC", time.gmtime())
    doubt = "" if is_clock_set else "; that clock is not set, which may be the whole reason"
    if code == _NOT_YET_VALID:
        told = f"is not valid yet {clock}{doubt}"
        remedy = (
            "set the clock if that date is wrong (`timedatectl`), else the broker needs another certificate"
        )
    elif code == _EXPIRED:
        told = f"has expired {clock}{doubt}"
        remedy = "set the clock if that date is wrong (`timedatectl`), else renew the broker's certificate"
    elif code in _UNKNOWN_ISSUER:
        told, remedy = "is from an authority this unit does not know", "set ca_file to the broker's authority"
    elif code in _WRONG_HOST:
        told, remedy = f"is not for {host}", "use the host name that the certificate is for"
    elif code == _REVOKED:
        told, remedy = "was revoked", "the broker needs a new certificate"
    else:
        told, remedy = f"cannot be verified: {error.verify_message}", "check the broker's certificate"
    return Closed(CloseKind.CERTIFICATE, f"the broker's certificate {told}", remedy)
