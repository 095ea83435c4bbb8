"""The one error tree: every failure a person or a program can see carries a code, a sentence and a remedy."""

from __future__ import annotations


class FabunitError(Exception):
    """Base of all expected failures.

    `code` is stable and machine-readable, `message` names the offending input, `remedy` says what to do.
    `exit_code` is what the command line ends with, `http_status` what the control API answers.
    """

    code: str = "failed"
    exit_code: int = 1
    http_status: int = 500

    def __init__(self, message: str, *, code: str | None = None, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        if code is not None:
            self.code = code

    @property
    def told(self) -> str:
        """Message and remedy as one sentence, for records that have one field."""
        return f"{self.message}; {self.remedy}" if self.remedy else self.message

    def to_dict(self) -> dict[str, str]:
        """The error as it crosses the control API: code, message, remedy."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


class UsageError(FabunitError):
    """The request itself is malformed: a wrong argument, an unreadable document."""

    code = "usage"
    exit_code = 2
    http_status = 400


class ConfigError(FabunitError):
    """A configuration or profile file cannot be used; the message names key and line."""

    code = "config"
    exit_code = 2
    http_status = 400


class NoDaemonError(FabunitError):
    """No daemon answers on the control socket."""

    code = "no_daemon"
    exit_code = 3
    http_status = 503


class RefusedError(FabunitError):
    """A rule forbids it: safety, state, policy, permission."""

    code = "refused"
    exit_code = 4
    http_status = 409


class NotFoundError(FabunitError):
    """The named job, print, profile or file does not exist."""

    code = "not_found"
    exit_code = 5
    http_status = 404


class PortError(FabunitError):
    """The serial port cannot be opened or has gone away.

    Codes: port_missing, port_busy, port_denied, port_lost, port_silent, port_wrong_baud, port_unsupported.
    """

    code = "port_failed"
    http_status = 503


class StorageError(FabunitError):
    """The state directory cannot be used.

    Codes: disk_full, database_locked, database_corrupt, storage_failed.
    """

    code = "storage_failed"
    http_status = 507


class ArtefactError(FabunitError):
    """A file cannot be accepted as an artefact.

    Codes: empty_file, not_gcode, mesh_unsupported, too_large, bad_name, hash_mismatch.
    """

    code = "bad_artefact"
    exit_code = 4
    http_status = 422
