"""Takes secrets out of text: the ones that are known by value, and whatever looks like one. Pure."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MARK = "[redacted]"
# Shorter words are no secrets, and taking every `a` out of a log would hide nothing.
LEAST_CHARS = 4
# Lines of a key or certificate file; shorter ones are its armour or end.
_LEAST_LINE_CHARS = 16

_WORDS = (
    r"pass(?:word|wd|phrase)?|pwd|secret|token|api[-_ ]?key|apikey|x-api-key|private[-_ ]?key|client[-_ ]?secret|"
    r"access[-_ ]?key|credential|auth(?:orization)?|bearer|cookie|session[-_ ]?id|signature|psk"
)
SECRET_NAME = re.compile(rf"(?i)(?:^|[^a-z])(?:{_WORDS})(?:$|[^a-z])")
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_PEM_END = re.compile(
    r"(?<![A-Za-z0-9+/=])(?:[A-Za-z0-9+/=]{8,76}(?:\\n|\s)+)+-----END [A-Z0-9 ]*PRIVATE KEY-----"
)
# Everything between `//` and the last `@` before the path: a password may hold an `@` itself.
_URL_LOGIN = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]{0,20}://)[^\s/\"'<>?#]*@")
# Signed links carry their right in the query.
_URL_QUERY = re.compile(r"(?P<url>\b(?:https?|wss?)://[^\s\"'<>?#]+)\?[^\s\"'<>\\]*")
_HEADER = re.compile(
    r"(?i)\b(?P<name>authorization|cookie|set-cookie|x-api-key)(?P<sep>[\"']?\s*[:=]\s*)[^\r\n]*"
)
# JSON within JSON has its quotes escaped, once or more.
_PAIR = re.compile(
    rf"(?i)(?P<name>(?:{_WORDS})[\w.-]{{0,20}}(?:\\*[\"'])?)(?P<sep>\s*[=:]\s*)"
    r"(?P<value>\\+\"[^\"\\]*\\+\"|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|[^\s,;\"'}{\]\[]+)"
)
_QUOTE = re.compile(r"\\*[\"']")
_BEARER = re.compile(r"(?i)\b(?P<kind>bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
# Names that only say where a secret is, or that something is expected: the path is needed to help.
_HARMLESS = re.compile(r"(?i)(?:_file|_path|require_signature|trusted_keys|authority|author)[\"']?$")


@dataclass(frozen=True, slots=True)
class Redactor:
    """Takes out `literals` (longest first) and everything that looks like a secret."""

    literals: tuple[str, ...] = ()

    @classmethod
    def knowing(cls, secrets: Iterable[str]) -> Redactor:
        """Build one that knows these secrets, also as they look in URLs, JSON and base64."""
        found: set[str] = set()
        for secret in secrets:
            lines = [
                line
                for line in secret.splitlines()
                if len(line) >= _LEAST_LINE_CHARS and not line.startswith("-----")
            ]
            for text in (secret.strip(), *lines):
                found |= _spellings(text)
        return cls(tuple(sorted((word for word in found if len(word) >= LEAST_CHARS), key=len, reverse=True)))

    def clean(self, text: str) -> str:
        """Return the text without secrets."""
        text = _PEM.sub(MARK, text)
        text = _PEM_END.sub(MARK, text) if "-----END" in text else text
        text = self.without_known(text)
        text = _URL_LOGIN.sub(rf"\g<scheme>{MARK}@", text)
        text = _URL_QUERY.sub(rf"\g<url>?{MARK}", text)
        text = _BEARER.sub(rf"\g<kind> {MARK}", text)
        text = _HEADER.sub(_mask, text)
        return _PAIR.sub(_mask, text)

    def without_known(self, text: str) -> str:
        """Return the text without the secrets that are known by value."""
        for literal in self.literals:
            text = text.replace(literal, MARK)
        return text

    def clean_document(self, value: object, name: str = "") -> object:
        """Return JSON values without secrets; what stands under a telling name goes as a whole."""
        if isinstance(value, dict):
            return {self.clean(str(key)): self.clean_document(item, str(key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean_document(item, name) for item in value]
        if isinstance(value, str):
            is_secret = SECRET_NAME.search(name.replace("_", " ")) and not _HARMLESS.search(name)
            return MARK if is_secret and value else self.clean(value)
        return value


def secret_values(environ: Mapping[str, str]) -> list[str]:
    """Return the values of variables whose names speak of secrets, and passwords in URLs of any variable."""
    found = []
    for name, value in environ.items():
        if SECRET_NAME.search(name.replace("_", " ")) and not _HARMLESS.search(name):
            found.append(value)
        found += [login.rpartition(":")[2] for login in re.findall(r"://([^\s/@]+)@", value) if ":" in login]
    return [value for value in found if len(value) >= LEAST_CHARS and not value.startswith("/")]


def _mask(match: re.Match[str]) -> str:
    if _HARMLESS.search(match["name"].rstrip("\"'\\")):
        return match[0]
    value = match.groupdict().get("value") or ""
    if value in ("true", "false", "null", "None", '""', "''", MARK, f'"{MARK}"'):
        return match[0]
    quoted = value[:1] if value[:1] in ('"', "'") else ""
    # A header's value runs to the end of its line, and may end a JSON string there.
    return f"{match['name']}{match['sep']}{quoted}{MARK}{quoted}"


def _spellings(secret: str) -> set[str]:
    if len(secret) < LEAST_CHARS:
        return set()
    encoded = secret.encode(errors="replace")
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        base64.b64encode(encoded).decode("ascii"),
        encoded.hex(),
    }
