"""A server with one fault, which its argument names: what judges the others has to find it."""

import json
import os
import socketserver
import sys
import threading
import traceback

from tests.abuse.lines import reply

fault = json.loads(sys.argv[1])["fault"] if len(sys.argv) > 1 else None
kept = []


class Lines(socketserver.StreamRequestHandler):
    def handle(self):
        kept.append(b"x" * 2_000_000 if fault == "grows" else b"")
        is_first = len(kept) == 1
        if fault == "keeps descriptors":
            kept.append(os.dup(self.request.fileno()))
        if fault == "keeps threads":
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        if fault == "dies" and len(kept) > 6:
            os._exit(3)
        if fault == "refuses" and len(kept) > 6:
            return
        for number, line in enumerate(self.rfile):
            if fault == "forgets" and number == 3:
                continue
            if fault == "mistakes" and number == 3:
                line = b"nonsense\n"
            if fault == "floods the log" or (fault == "chats" and number == 3):
                print("a line was asked", file=sys.stderr, flush=True)
            if fault == "tells too much" and len(kept) == 4:
                traceback.print_stack()
                print("Traceback (most recent call last):", file=sys.stderr, flush=True)
            self.wfile.write(reply(line))
            while fault == "spins" and is_first:
                pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Lines) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
