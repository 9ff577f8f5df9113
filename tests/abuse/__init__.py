"""The hostile network: what peers, the kernel and limits of the process do to a server, and what it costs.

A *row* is one such behaviour: a function with a name, a sentence, and bounds. It is given a `Scene`: a
*target*, which is a server program in a process of its own, over real sockets, and means to be nasty.
Meanwhile a *bystander*, connected since before, asks the same server one line after another and
reconnects now and then: what it waits and misses is what the abuse costs everybody else.

A row raises `AssertionError`, in words, if the target does not do what the row's sentence says. What has to
hold after every row is asked in one place, `survival.py`: it lives and serves, the bystander got every
reply in time, memory grew by no more than the row's bound, descriptors and children are back, nothing
spins, and the log has no traceback and no flood.

- `lines.py`: the protocol of all programs; `programs/`: the servers, as their documentation writes them.
- `contenders.py`: the programs and what can be asked of them; `settings.py`: how a row sets a limit.
- `launch.py`, `target.py`, `readings.py`: the process, and what the kernel says of it.
- `peer.py`, `bystander.py`: clients, bad and good.
- `rows/`: the behaviours; `rows/__init__.py` is the one place where they are listed.
- `test_*.py`: rows x our programs. Those that wait for a default limit (10 or 30 s) begin in the
  background with the first test and are awaited last.
- `python -m tests.abuse`: rows x all programs, a table of who survives what (`make abuse-compare`).
"""
