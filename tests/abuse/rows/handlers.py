"""Rows about handlers with bugs: here one that raises when a line says so."""

from __future__ import annotations

from tests.abuse.scene import Scene, row


@row(
    "A handler that raises: its own connection ends, what it had answered before arrives",
    logged=True,
    traced=True,
)
def raising(scene: Scene) -> None:
    for _ in range(20):
        peer = scene.peer()
        peer.send(b"one\n!raise\n")
        assert peer.rest() == b"ONE\n"


@row("A handler that raises in the middle of a batch of 2,000 lines", logged=True, traced=True)
def raising_in_a_batch(scene: Scene) -> None:
    for _ in range(5):
        peer = scene.peer()
        peer.send(b"one\n" * 1000 + b"!raise\n" + b"three\n" * 1000)
        answers = peer.rest().splitlines(keepends=True)
        assert answers == [b"ONE\n"] * 1000, f"{len(answers)} answers"
