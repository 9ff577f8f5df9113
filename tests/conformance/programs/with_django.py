"""Django's `runserver`: WSGIServer below ThreadingMixIn, with keep-alive and overridden hooks."""

import http.client

import django
import pytest
from django.conf import settings
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler, WSGIServer
from django.http import HttpResponse
from django.urls import path

from tests.conformance.programs.driving import PATIENCE, running


def upper(request):
    return HttpResponse(request.body.upper(), headers={"Content-Length": len(request.body)})


def broken(request):
    raise ValueError


urlpatterns = [path("upper", upper), path("broken", broken)]

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None)
django.setup()


@pytest.fixture(params=[WSGIServer, ThreadedWSGIServer])
def server(request):
    from django.core.wsgi import get_wsgi_application

    made = request.param(("127.0.0.1", 0), WSGIRequestHandler)
    made.set_app(get_wsgi_application())
    with running(made):
        yield made


def test_requests_on_one_connection(server):
    client = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE)
    kept = []
    for word in (b"one", b"two", b"three"):
        client.request("POST", "/upper", word)
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, word.upper())
        kept.append(answer.getheader("Connection"))
    client.close()
    assert kept == ([None] if isinstance(server, ThreadedWSGIServer) else ["close"]) * 3


def test_a_view_that_fails_costs_one_request(server):
    client = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE)
    client.request("GET", "/broken")
    assert client.getresponse().status == 500
    client.close()
    client.request("POST", "/upper", b"again")
    assert client.getresponse().read() == b"AGAIN"
    client.close()
