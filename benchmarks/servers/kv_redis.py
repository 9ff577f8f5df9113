"""Redis itself, in memory only. It takes no port 0, so it is given one that was free a moment ago."""

import os
import socket

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]

if __name__ == "__main__":
    print(port, flush=True)
    options = {"bind": "127.0.0.1", "port": str(port), "save": "", "appendonly": "no", "loglevel": "warning"}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    os.execvp("redis-server", ["redis-server", *words])
