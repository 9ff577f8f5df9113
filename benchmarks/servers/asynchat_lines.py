"""An asynchat line server: `python asynchat_lines.py MODULE`.

MODULE is `asynchat`, whichever the environment has, or `reactor.compat.asynchat`: the same program.
"""

import sys
from importlib import import_module

asynchat = import_module(sys.argv[1])
asyncore = asynchat.asyncore


class Lines(asynchat.async_chat):
    """Answers each line with the line in upper case."""

    def __init__(self, sock, map):
        asynchat.async_chat.__init__(self, sock, map)
        self.set_terminator(b"\n")
        self.line = []

    def collect_incoming_data(self, data):
        self.line.append(data)

    def found_terminator(self):
        line = b"".join(self.line)
        self.line = []
        self.push(line.upper() + b"\n")


class Listener(asyncore.dispatcher):
    """Makes a conversation of every connection."""

    def __init__(self, map):
        asyncore.dispatcher.__init__(self, map=map)
        self.create_socket()
        self.bind(("127.0.0.1", 0))
        self.listen(512)

    def handle_accept(self):
        while (pair := self.accept()) is not None:
            Lines(pair[0], self._map)


if __name__ == "__main__":
    channels = {}
    listener = Listener(channels)
    print(listener.socket.getsockname()[1], flush=True)
    asyncore.loop(use_poll=True, map=channels)
