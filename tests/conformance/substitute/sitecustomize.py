"""Every Python that finds this folder on its path, and every one that it starts, has
`reactor/socketserver.py` for `import socketserver`, and the modules of `reactor/compat/` for `import
asyncore` and `import asynchat`, also where the `test` package has private copies of them.

The standard `socketserver` was loaded before that, for the classes that `reactor` knows how to register.
None of its functions may run afterwards: one that does ends the process, loudly, for an exception
could be lost in a thread, or be what a test waits for.
"""

import importlib.util
import os
import pathlib
import socketserver as standard
import sys
import traceback
import types

import reactor
import reactor.compat

FAILED = 70


def trap(name):
    def trapped(*args, **kwargs):
        os.write(2, f"the standard library's {name} was called\n".encode())
        os._exit(FAILED)

    return trapped


def set_traps(module):
    """Replace every method of the module's classes."""
    for cls in vars(module).values():
        if isinstance(cls, type) and cls.__module__ == module.__name__:
            for name, value in list(vars(cls).items()):
                if isinstance(value, types.FunctionType):
                    setattr(cls, name, trap(f"{cls.__module__}.{cls.__name__}.{name}"))


def substitute(name):
    """Have ``import name`` find our module of that name, as if it stood in the standard library."""
    path = pathlib.Path(reactor.__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def derived(cls):
    """Every class below *cls*."""
    for each in cls.__subclasses__():
        yield each
        yield from derived(each)


def strays():
    """Classes that were derived from the standard ones: whoever made them has the wrong module."""
    bases = (standard.BaseServer, standard.BaseRequestHandler, standard.ThreadingMixIn, standard.ForkingMixIn)
    return [cls for base in bases for cls in derived(base) if vars(standard).get(cls.__name__) is not cls]


try:
    set_traps(standard)
    substitute("socketserver")
    reactor.compat.install(replace=True)
    for _name in ("asyncore", "asynchat"):
        sys.modules[f"test.support.{_name}"] = sys.modules[_name]
except BaseException:
    traceback.print_exc()  # `site` would go on without us
    os._exit(FAILED)
