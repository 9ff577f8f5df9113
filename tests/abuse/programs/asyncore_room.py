"""A chat room on asyncore: after ``!join`` one hears what others ``!say``."""

import asyncore

import asyncore_lines

from tests.abuse.lines import reply

members = set()


class Member(asyncore_lines.Lines):
    def found_terminator(self):
        line, self.inbox = b"".join(self.inbox) + b"\n", []
        if line.startswith(b"!join"):
            members.add(self)
        elif line.startswith(b"!say"):
            for member in members - {self}:
                member.push(line)
        self.push(reply(line))

    def handle_close(self):
        members.discard(self)
        self.close()


class Server(asyncore_lines.Server):
    def handle_accepted(self, sock, address):
        Member(sock)


if __name__ == "__main__":
    server = Server()
    print(server.socket.getsockname()[1], flush=True)
    asyncore.loop()
