"""Handlers of both styles that do what a `Stage` has them do, and tell it what they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reactor import AsyncStreamRequestHandler, StateRequestHandler
from reactor.framing import FramingError, ToEOF
from reactor.handlers import ConnectionRequestHandler
from reactor.streams import IncompleteReadError
from reactor.table import RequestState
from tests.properties.stage import Stage, Stopped

if TYPE_CHECKING:
    _Base = ConnectionRequestHandler
else:
    _Base = object


class _Performer(_Base):
    """What both styles tell."""

    stage: Stage

    def setup(self) -> None:
        super().setup()
        self._fail_in("setup")
        self.stage.opened = 1

    def finish(self) -> None:
        self.stage.finished += 1
        self._fail_in("finish")

    def handle_close(self) -> None:
        self.stage.closings += 1
        super().handle_close()

    def _enter(self, state: RequestState) -> None:
        super()._enter(state)
        self.stage.entered(state)

    def _fail_in(self, hook: str) -> None:
        if hook in self.stage.broken:
            self.fail()

    def fail(self) -> None:
        self.stage.raised += 1
        self.stage.end_for("raised")
        raise Stopped

    def do(self, what: str, number: int) -> None:
        """What takes no time, in either style."""
        stage = self.stage
        match what:
            case "write":
                stage.write(number)
            case "pause":
                stage.pause()
            case "close":
                stage.close()
            case "abort":
                stage.abort()
            case "write_eof":
                stage.write_eof()
            case "later":
                self.reactor.call_later(number, stage.write, 20)
            case "raise":
                self.fail()


class StatePerformer(_Performer, StateRequestHandler):
    def start(self) -> None:
        self.perform(self.stage.opening)
        self.expect(self.stage.expected().framing, self.take)

    def take(self, message: bytes) -> None:
        stage = self.stage
        step = stage.took(message)
        try:
            self.perform(step.actions)
        finally:
            anew = stage.begins_anew(step)
            (self.begin_with if anew else self.expect)(stage.expected().framing, self.take)
            if anew:
                stage.model.complete()

    def perform(self, actions: tuple[tuple[str, int], ...]) -> None:
        stage = self.stage
        for what, number in actions:
            if what == "hold":
                stage.hold()
            elif what == "offload":
                if stage.held_by is None and not stage.closing:
                    stage.held_by = "work"
                    self.offload(int, number, then=self.worked)
            else:
                self.do(what, number)

    def worked(self, number: int) -> None:
        self.stage.held_by = None
        self.stage.write(number)

    def handle_exception(self, exc: BaseException) -> None:
        if isinstance(exc, FramingError):
            self.stage.refused()
        super().handle_exception(exc)


class CoroutinePerformer(_Performer, AsyncStreamRequestHandler):
    async def handle(self) -> None:
        stage = self.stage
        await self.perform(stage.opening)
        while "return" not in stage.reasons:
            step = stage.expected()
            if stage.fresh:
                stage.fresh = False
                stage.model.complete()
            try:
                message = await self.rfile.read_message(step.framing)
            except IncompleteReadError as exc:
                if not stage.model.eof or exc.partial != stage.model.data:
                    stage.problems.append(f"{exc.partial!r} instead of {stage.model.data!r}")
                stage.end_for("return")
            except FramingError:
                stage.refused()
                stage.end_for("return")
            else:
                stage.took(message)
                await self.perform(step.actions)
                if isinstance(step.framing, ToEOF):
                    stage.end_for("return")

    async def perform(self, actions: tuple[tuple[str, int], ...]) -> None:
        stage = self.stage
        for what, number in actions:
            if what == "hold":
                await self._wait(self.sleep(number))
            elif what == "offload":
                await self._wait(self.offload(int, number))
            elif what == "drain":
                await self._wait(self.wfile.drain())
            elif what == "return":
                stage.end_for("return")
                return
            else:
                self.do(what, number)

    async def _wait(self, awaitable: Any) -> None:
        self.stage.held_by = "wait"
        await awaitable
        self.stage.held_by = None
