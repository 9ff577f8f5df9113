"""The chat room of asyncio's streams on uvloop."""

import uvloop
from asyncio_room import main

if __name__ == "__main__":
    uvloop.run(main())
