"""What a socket has and its dispatcher has not: had from the dispatcher, with a `DeprecationWarning`.

Once this was a ``__getattr__``. That would make every attribute of every channel slower, so the
names of a socket stand in the class one by one, and step aside for whatever else has them: an
instance's own attribute, a subclass's, that of another base further on, or a ``__getattr__``.
"""

import warnings
from typing import Any


class Passage:
    """One such name."""

    def __init__(self, owner: type, name: str) -> None:
        self.owner = owner
        self.name = name

    def __get__(self, channel: Any, channel_class: type) -> Any:
        further = channel_class.__mro__[channel_class.__mro__.index(self.owner) + 1 :]
        for base in further:
            if self.name in vars(base):
                found = vars(base)[self.name]
                return found.__get__(channel, channel_class) if hasattr(found, "__get__") else found
        me = channel_class.__name__
        if channel is None:
            raise AttributeError(f"type object {me!r} has no attribute {self.name!r}")
        if hasattr(channel_class, "__getattr__"):
            raise AttributeError(self.name)  # upon which that is called
        try:
            value = getattr(channel.socket, self.name)
        except AttributeError:
            raise AttributeError(f"{me} instance has no attribute {self.name!r}") from None
        text = f"{me}.{self.name} is deprecated; use {me}.socket.{self.name} instead"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return value


def let_through(owner: type, other: type) -> None:
    """Give *owner* the public names of *other* that it has not."""
    for name in dir(other):
        if not name.startswith("_") and not hasattr(owner, name):
            setattr(owner, name, Passage(owner, name))
