"""What the soak says of itself: a line of figures now and then, and a summary."""

from __future__ import annotations

from tests.soak.soak import WAITING, Soak
from tests.soak.verdict import memory

_COLUMNS = "{:>8} {:>12} {:>11} {:>9} {:>9} {:>8} {:>7} {:>8} {:>5} {:>6} {:>10}"


def heading(waits_in: str) -> str:
    return _COLUMNS.format(
        "seconds",
        "replies",
        "connections",
        "wait s",
        "abuses",
        "MiB",
        "fds",
        WAITING[waits_in],
        "CPU",
        "log",
        "complaints",
    )


def line(soak: Soak) -> str:
    """How it stands. The load is that between the last two readings."""
    world = soak.world
    before, now = ([soak.before, *soak.readings])[-2:]
    load = (now.cpu - before.cpu) / (now.seconds - before.seconds)
    return _COLUMNS.format(
        f"{now.seconds:.1f}",
        f"{world.replies:,}",
        f"{world.connections:,}",
        f"{world.longest_wait:.2f}",
        f"{world.abuses.total():,}",
        f"{now.resident / 1024:.1f}",
        now.descriptors,
        now.waiting,
        f"{load:.0%}",
        soak.log.causes.total(),
        len(world.complaints),
    )


def summary(soak: Soak) -> str:
    """All that there is to say at the end, but for the verdict."""
    world = soak.world
    abuses = ", ".join(f"{name} {count:,}" for name, count in sorted(world.abuses.items()))
    causes = ", ".join(f"{cause} {count}" for cause, count in sorted(soak.log.causes.items()))
    kept = memory(soak.readings)
    if kept is None:
        flat = "the run was too short to see whether it is flat"
    else:
        flat = (
            f"{kept.begin / 1024:.1f} warmed up, then {kept.slope:+.0f} KiB a minute, "
            f"certainly {kept.certain:+.0f} (bound {kept.most:.0f})"
        )
    gone = f"connections left whose other end is gone: {soak.half_open}\n" if soak.half_open else ""
    return gone + "\n".join(
        (
            f"replies compared: {world.replies:,}, {world.reply_bytes / 1e6:,.0f} MB",
            f"longest wait of a polite client: {world.longest_wait:.2f} s",
            f"longest turn of the clients' own loop, which is in that: {world.loop.longest_turn:.2f} s",
            f"abuses: {abuses}",
            f"in the log: {causes}",
            f"memory: {soak.before.resident / 1024:.1f} MiB before, {soak.growth:.1f} more at most; {flat}",
        )
    )
