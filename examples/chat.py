"""A chat room: handlers that reach each other. Join it with nc localhost 5639, from several terminals.

All of it runs in one thread, so the table of members needs no lock.
"""

from common import say, serve, shown

from reactor import Limits, Line, ReactorTCPServer, StateRequestHandler

LINE = Line(limit=1000)


class Member(StateRequestHandler):
    server: "ChatServer"
    name = ""

    def start(self) -> None:
        self.write(b"Your name? ")
        self.expect(LINE, self.join)

    def join(self, line: bytes) -> None:
        name = shown(line.strip())[:20]
        if not name or name in self.server.members:
            self.write(b"Taken, or no name at all. Another? ")
            return
        self.name = name
        self.server.members[name] = self
        self.server.tell(f"* {name} is here", but=self)
        self.write(f"* in the room: {', '.join(self.server.members)}\n".encode())
        self.begin_with(LINE, self.talk)  # from now on; until now a line was a name

    def talk(self, line: bytes) -> None:
        self.server.tell(f"{self.name}: {shown(line.strip())}", but=self)

    def finish(self) -> None:
        """The closing call, however the connection ended."""
        if self.name:
            del self.server.members[self.name]
            self.server.tell(f"* {self.name} has left")


class ChatServer(ReactorTCPServer):
    allow_reuse_address = True
    # People may listen for a long time. One who doesn't read is dropped when 64 KiB wait for him.
    limits = Limits(idle_timeout=24 * 3600, send_buffer_limit=64 * 1024)
    members: dict[str, Member] = {}

    def tell(self, text: str, but: Member | None = None) -> None:
        """Send a line to everybody. `write` never waits and never runs another handler's code."""
        say(text)
        line = text.encode() + b"\n"
        for member in self.members.values():
            if member is not but:
                member.write(line)


if __name__ == "__main__":
    serve(ChatServer, Member)
