"""Run a command so that Ctrl-C reaches it alone, and not the make that started it.

make, once it is interrupted, ends with status 130, however well the command ended.
So the command gets the terminal, as a shell with job control would give it,
and make sees only its exit status.
"""

import os
import signal
import sys


def has_terminal() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def run(command: list[str]) -> int:
    # Taking the terminal back is done from the background.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    group = os.getpgrp()
    child = os.posix_spawnp(command[0], command, os.environ, setpgroup=0, setsigdef=[signal.SIGTTOU])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: os.kill(child, number))
    while True:
        if has_terminal():
            os.tcsetpgrp(0, child)
        os.killpg(child, signal.SIGCONT)
        _, status = os.waitpid(child, os.WUNTRACED)
        if os.tcgetpgrp(0) == child:
            os.tcsetpgrp(0, group)
        if not os.WIFSTOPPED(status):
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        # Ctrl-Z: stop with it, make as well, until the shell's fg or bg.
        os.killpg(group, signal.SIGSTOP)


if __name__ == "__main__":
    if has_terminal():
        sys.exit(run(sys.argv[1:]))
    os.execvp(sys.argv[1], sys.argv[1:])
