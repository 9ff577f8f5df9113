"""Proves which failures of `get_request` make a listener rest, for how long, and which do not."""

from __future__ import annotations

import errno

import pytest

from reactor.backoff import FIRST_PAUSE, IN_A_ROW, LONGEST_PAUSE, Backoff

FULL = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM]
UNFIT = [errno.EBADF, errno.EFAULT, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP]
OF_ONE = [errno.ECONNABORTED, errno.EINTR, errno.ECONNRESET, errno.ECONNREFUSED, errno.EHOSTUNREACH]


def error(number: int) -> OSError:
    return OSError(number, "as the system says")


@pytest.mark.parametrize("number", FULL + UNFIT)
def test_a_listener_that_cannot_go_on_rests_longer_and_longer(number):
    backoff = Backoff()
    pauses = [backoff.failed(error(number)) for _ in range(8)]
    assert pauses == [0.005, 0.01, 0.02, 0.04, 0.08, 0.1, 0.1, 0.1]
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE, LONGEST_PAUSE)


@pytest.mark.parametrize("number", OF_ONE)
def test_what_concerns_one_client_never_makes_it_rest(number):
    backoff = Backoff()
    assert {backoff.failed(error(number)) for _ in range(10 * IN_A_ROW)} == {0.0}


def test_any_other_error_makes_it_rest_when_it_comes_every_time():
    backoff = Backoff()
    handshake_failed = OSError(1, "wrong version number")
    pauses = [backoff.failed(handshake_failed) for _ in range(3 * IN_A_ROW)]
    assert [pause for pause in pauses if pause] == [0.005, 0.01, 0.02]
    assert pauses[IN_A_ROW - 1 :: IN_A_ROW] == [0.005, 0.01, 0.02], "others may come in between"


def test_a_request_that_is_taken_forgets_the_failures():
    backoff = Backoff()
    for _ in range(IN_A_ROW):
        backoff.failed(error(errno.EMFILE))
    backoff.succeeded()
    assert backoff.failed(error(errno.EPERM)) == 0.0
    assert backoff.failed(error(errno.EMFILE)) == FIRST_PAUSE
