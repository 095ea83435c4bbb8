"""Table `commands`: answers to the last commands of a coordinator. Functions run inside the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass

from agent.storage.database import Connection

# Redeliveries come at once or at the next connection; a unit gets a few hundred commands a day at most.
KEPT = 1_000


@dataclass(frozen=True, slots=True)
class Remembered:
    """A command that was begun; `answer` is its last answer as JSON, None when the daemon was stopped within it."""

    cmd_id: str
    digest: str
    answer: str | None


def begin(connection: Connection, cmd_id: str, digest: str) -> Remembered | None:
    """Note a command before it is carried out; returns what is known of it if it came before."""
    row = connection.execute("SELECT * FROM commands WHERE cmd_id = ?", (cmd_id,)).fetchone()
    if row is not None:
        return Remembered(row["cmd_id"], row["digest"], row["answer"])
    connection.execute("INSERT INTO commands (cmd_id, digest, answer) VALUES (?, ?, NULL)", (cmd_id, digest))
    connection.execute(
        "DELETE FROM commands WHERE n <= (SELECT n FROM commands ORDER BY n DESC LIMIT 1 OFFSET ?)", (KEPT,)
    )
    return None


def ids(connection: Connection) -> list[str]:
    """Return the ids of all commands that are remembered, the oldest first."""
    return [str(row["cmd_id"]) for row in connection.execute("SELECT cmd_id FROM commands ORDER BY n")]


def finish(connection: Connection, cmd_id: str, answer: str) -> None:
    """Remember the answer to a command."""
    connection.execute("UPDATE commands SET answer = ? WHERE cmd_id = ?", (answer, cmd_id))
