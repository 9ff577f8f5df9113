"""The soak: all abuse at once, for a minute or for hours, with well-behaved clients in the middle of it.

    python -m tests.soak --seconds 3600 --server threading --seed 7      (make soak ARGS='...')

One server program of `tests/abuse` runs in a process of its own, with
nothing set but what `soak.LOADS` says. One process of clients
has a thousand polite ones, which ask lines and compare every byte of every reply, and among them a crowd of
each kind of abuser. At the end the abusers go, then the polite ones; then new ones come, and `SIGTERM` with
them in the middle of their requests. The exit status is 1 if anything at all was wrong:

- a polite client's reply that was wrong, late or never came, or an abuser's that was owed one;
- an abuser that the server did not get rid of in the time its limits give it;
- memory that goes on growing after it has warmed up; descriptors, threads or children that stay when all
  clients have gone;
- a line in the log that no limit explains, or more than one a second for one cause;
- draining that loses a reply, or does not end with status 0.

What one client does is drawn from its own generator, seeded with `--seed` and its name, so a seed gives the
same peers again, though never the same interleaving.

- `loop.py`: the clients' event loop, a generator for each. Nothing of `reactor` is in it, for a judge must
  not be the accused.
- `peers.py`: one connection; `world.py`: what all clients share, and where they complain.
- `polite.py`, `abusers.py`: who comes; `drained.py`: the end.
- `soak.py`: the course of it all; `verdict.py`, `slope.py`, `logged.py`, `halfopen.py`: what the kernel and
  the log say of the server; `report.py`, `__main__.py`: figures, and the command line.
"""
