"""asyncore and asynchat, as their documentation writes them."""

import asynchat
import asyncore

from tests.abuse.lines import reply


class Lines(asynchat.async_chat):
    def __init__(self, sock):
        super().__init__(sock)
        self.set_terminator(b"\n")
        self.inbox = []

    def collect_incoming_data(self, data):
        self.inbox.append(data)

    def found_terminator(self):
        line, self.inbox = b"".join(self.inbox), []
        self.push(reply(line + b"\n"))


class Server(asyncore.dispatcher):
    def __init__(self):
        super().__init__()
        self.create_socket()
        self.set_reuse_addr()
        self.bind(("127.0.0.1", 0))
        self.listen(5)

    def handle_accepted(self, sock, address):
        Lines(sock)


if __name__ == "__main__":
    server = Server()
    print(server.socket.getsockname()[1], flush=True)
    asyncore.loop()
