"""asyncio's datagrams on uvloop."""

import uvloop
from asyncio_datagram import main

if __name__ == "__main__":
    uvloop.run(main())
