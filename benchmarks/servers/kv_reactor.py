"""Ours: examples/kv.py as it stands there, limits and all, but for the port."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from kv import KeyValueHandler, KeyValueServer

if __name__ == "__main__":
    with KeyValueServer(("127.0.0.1", 0), KeyValueHandler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
