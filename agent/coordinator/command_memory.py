"""What a unit remembers of the commands it was given, so that none is carried out twice.

On disk for all that change something; in memory for those that are harmless twice. Which ids are on disk is known in
memory as well: a command that is certainly new is answered without waiting for the disk.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict

from agent.coordinator.documents import Answer, Command, CommandName
from agent.storage import commands as command_rows
from agent.storage.commands import Remembered
from agent.storage.database import Database

# They change nothing but the link itself.
_VOLATILE = frozenset({CommandName.WATCH, CommandName.REBIRTH, CommandName.RESEND, CommandName.IDENTIFY})
_KEPT_VOLATILE = 200


def is_volatile(command: Command) -> bool:
    """Tell whether a command may be forgotten with the process."""
    return command.command in _VOLATILE


def digest_of(command: Command) -> str:
    """Return what two deliveries of one command have in common: all of it but its times."""
    content = command.model_dump(mode="json", exclude={"sent", "expires"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class CommandMemory:
    """Event loop only. Calls that wait raise StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        # In the order of the table, which forgets the oldest as this does. None: not read yet.
        self._on_disk: OrderedDict[str, None] | None = None

    async def open(self) -> None:
        """Read which commands are on disk; until then none is certainly new."""
        self._on_disk = OrderedDict.fromkeys(await self._database.read(command_rows.ids))

    def is_new(self, cmd_id: str) -> bool:
        """Tell whether a command has certainly not come before."""
        return self._on_disk is not None and cmd_id not in self._on_disk and cmd_id not in self._answers

    def answer(self, cmd_id: str) -> Answer | None:
        """Return the answer that is kept in memory."""
        return self._answers.get(cmd_id)

    def keep(self, cmd_id: str, answer: Answer) -> None:
        """Remember an answer in memory."""
        self._answers[cmd_id] = answer
        while len(self._answers) > _KEPT_VOLATILE:
            self._answers.popitem(last=False)

    async def begin(self, cmd_id: str, digest: str) -> Remembered | None:
        """Note, durably, that a command is carried out now; return what is known of it if it came before."""
        if self._on_disk is not None:
            self._on_disk.setdefault(cmd_id)
            while len(self._on_disk) > command_rows.KEPT:
                self._on_disk.popitem(last=False)
        return await self._database.run(lambda connection: command_rows.begin(connection, cmd_id, digest))

    async def finish(self, cmd_id: str, answer: Answer) -> None:
        """Remember, durably, how a command ended."""
        text = answer.to_json().decode()
        await self._database.run(lambda connection: command_rows.finish(connection, cmd_id, text))
