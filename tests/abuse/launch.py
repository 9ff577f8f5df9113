"""Becomes the program it is told: `launch.py SECONDS PROGRAM ARGUMENT...`.

However its parent ends, the program ends with it, and in any case after so many seconds: both are kept
across `exec`. Done here and not between fork and exec, where a parent with threads must run no Python.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.alarm(int(sys.argv[1]))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
