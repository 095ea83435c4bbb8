"""A page of the documentation: the commands it shows, as a reader would type them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:sudo )?(?:fabunit|make) [^`\n]+)`")
_SHELL = ("sh", "console")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: its language ("" for none) and its lines."""

    kind: str
    text: str

    @property
    def is_shell(self) -> bool:
        """Tell whether it is to be typed."""
        return self.kind in _SHELL

    @property
    def commands(self) -> list[str]:
        """Return its command lines without remarks and empty lines; a line that goes on is one with the next."""
        lines = self.text.replace("\\\n", " ").splitlines()
        shown = (re.split(r"(?:^|\s)#\s", line, maxsplit=1)[0].strip() for line in lines)
        return [line.removeprefix("$ ") for line in shown if line and not line.startswith("#!")]


class DocPage:
    """One Markdown file of the repository."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = (ROOT / name).read_text()
        self.blocks = [Block(found["kind"], found["text"]) for found in _BLOCK.finditer(self.text)]

    @property
    def inline(self) -> list[str]:
        """Return the fabunit and make commands in running text."""
        return _INLINE.findall(_BLOCK.sub("", self.text))

    def block(self, mark: str) -> Block:
        """Return the one block to be typed that contains `mark`."""
        found = [block for block in self.blocks if block.is_shell and mark in block.text]
        assert len(found) == 1, f"{len(found)} blocks with {mark!r} on {self.name}"
        return found[0]


def pages() -> list[DocPage]:
    """Return every page of the repository."""
    names = ["README.md", "CHANGELOG.md", "systemd/README.md"]
    names += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
    return [DocPage(name) for name in names]
