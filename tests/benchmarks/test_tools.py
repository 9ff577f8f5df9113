"""What strace, perf and valgrind say is understood, and so is that they say nothing."""

import pytest
from harness.processes import BenchmarkError
from harness.tracing import frequent, parse
from marks.limits import instructions_of_callgrind, instructions_of_perf

STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 49.59    0.001201           1       814           sendto
 48.10    0.001165           1       830         3 recvfrom
  2.31    0.000056           0       100           epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.002422           1      1744         3 total
"""


def test_strace_counts_calls_with_errors_and_without():
    assert parse(STRACE) == {"sendto": 814, "recvfrom": 830, "epoll_wait": 100}
    assert parse("") == {}


def test_only_frequent_calls_are_shown():
    assert frequent({"sendto": 1.0, "epoll_wait": 0.02, "brk": 0.004}) == "sendto 1.00, epoll_wait 0.02"


def test_perf_counts_or_says_that_it_cannot():
    assert instructions_of_perf("# started on\n\n123456,,instructions:u,7890,100.00,,\n") == 123456
    assert instructions_of_perf("<not supported>,,instructions:u,0,100.00,,\n") is None
    assert instructions_of_perf("") is None


def test_callgrind_ends_with_a_sum():
    assert instructions_of_callgrind("events: Ir\nfn=(1)\n0 17\ntotals: 292358254\n") == 292358254
    with pytest.raises(BenchmarkError):
        instructions_of_callgrind("events: Ir\n")
