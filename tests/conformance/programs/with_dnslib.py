"""dnslib: a threading UDP and TCP server, started and stopped by a class that holds them."""

import struct

import pytest
from dnslib import RR, DNSRecord
from dnslib.intercept import InterceptResolver
from dnslib.server import DNSLogger, DNSServer
from dnslib.zoneresolver import ZoneResolver


@pytest.fixture
def serve():
    started = []

    def start(resolver, **options):
        lines = []
        logger = DNSLogger(prefix=False, logf=lines.append)
        server = DNSServer(resolver, address="127.0.0.1", port=0, logger=logger, **options)
        server.start_thread()
        started.append(server)
        return server.server.server_address[1], lines

    yield start
    for server in started:
        server.stop()
        server.thread.join(20)
        assert not server.isAlive()
        server.server.server_close()


ZONE = "one.example. 60 A 192.0.2.1\nbig.example. 60 TXT " + " ".join(f'"{n:0250d}"' for n in range(20))


@pytest.mark.parametrize("tcp", [False, True])
def test_a_zone_is_served(serve, tcp):
    port, lines = serve(ZoneResolver(ZONE), tcp=tcp)
    for name, kind, count in (("one.example", "A", 1), ("big.example", "TXT", 1), ("none.example", "A", 0)):
        question = DNSRecord.question(name, kind)
        answer = DNSRecord.parse(question.send("127.0.0.1", port, tcp=tcp, timeout=20))
        assert (answer.header.id, len(answer.rr)) == (question.header.id, count)
    assert [line.split()[0] for line in lines] == ["Request:", "Reply:"] * 3


@pytest.mark.parametrize("tcp", [False, True])
def test_a_handler_that_fails_does_not_stop_it(serve, tcp):
    class Resolver:
        def resolve(self, request, handler):
            if request.q.qname == "bad.example":
                handler.server.failed = True
                raise ValueError
            reply = request.reply()
            reply.add_answer(*RR.fromZone("good.example. 60 A 192.0.2.2"))
            return reply

    port, _ = serve(Resolver(), tcp=tcp)
    with pytest.raises((TimeoutError, struct.error)):
        DNSRecord.question("bad.example").send("127.0.0.1", port, tcp=tcp, timeout=0.5)
    answer = DNSRecord.question("good.example").send("127.0.0.1", port, tcp=tcp, timeout=20)
    assert str(DNSRecord.parse(answer).rr[0].rdata) == "192.0.2.2"


@pytest.mark.parametrize("tcp", [False, True])
def test_a_forwarder_asks_the_other(serve, tcp):
    above, _ = serve(ZoneResolver(ZONE), tcp=tcp)
    resolver = InterceptResolver(
        "127.0.0.1", above, "60s", ["here.example IN A 192.0.2.3"], [], [], [], False, 20
    )
    port, _ = serve(resolver, tcp=tcp)
    for name, address in (("one.example", "192.0.2.1"), ("here.example", "192.0.2.3")):
        answer = DNSRecord.question(name).send("127.0.0.1", port, tcp=tcp, timeout=20)
        assert str(DNSRecord.parse(answer).rr[0].rdata) == address
