"""The two ways in for programs that cannot be edited."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run(*arguments: str, folder: Path) -> str:
    """What a Python says that has nothing but our package."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert not done.stderr, done.stderr
    return done.stdout


def test_install(tmp_path: Path) -> None:
    program = """
import sys
import reactor.compat
assert "asyncore" not in sys.modules
reactor.compat.install()
assert ("asyncore" in sys.modules) == (sys.version_info >= (3, 12))
reactor.compat.install(replace=True)
reactor.compat.install()
import asynchat
import asyncore
assert asyncore is reactor.compat.asyncore
assert asynchat is reactor.compat.asynchat
assert asynchat.asyncore is asyncore
print(asyncore.dispatcher())
"""
    assert run("-c", program, folder=tmp_path).startswith("<asyncore.dispatcher at 0x")


def test_what_is_imported_already_stays(tmp_path: Path) -> None:
    program = """
import sys, types
theirs = sys.modules["asyncore"] = types.ModuleType("asyncore")
import reactor.compat
reactor.compat.install()
assert sys.modules["asyncore"] is theirs
assert "asynchat" not in sys.modules
reactor.compat.install(replace=True)
assert sys.modules["asyncore"] is reactor.compat.asyncore
print("done")
"""
    assert run("-c", program, folder=tmp_path) == "done\n"


PROGRAM = """
import sys
import asyncore, asynchat, beside
print(__name__, __file__, sys.argv, beside.asyncore is asyncore)
print(asyncore.loop.__module__)
"""


def program_in(folder: Path) -> Path:
    (folder / "beside.py").write_text("import asyncore\n")
    path = folder / "program.py"
    path.write_text(PROGRAM)
    return path


def test_a_program(tmp_path: Path) -> None:
    (tmp_path / "of").mkdir()
    path = program_in(tmp_path / "of")
    name = str(path.relative_to(tmp_path))
    said = run("-m", "reactor.compat", name, "-m", "more", folder=tmp_path)
    assert said == f"__main__ {path} {[name, '-m', 'more']} True\nreactor.compat.asyncore\n"


def as_python_runs_it(*arguments: str, folder: Path) -> None:
    """The same is said with us and without."""
    assert run("-m", "reactor.compat", *arguments, folder=folder) == run(*arguments, folder=folder)


LOOKING_AROUND = """
import __main__, atexit, pickle, sys, threading, time

class Own:
    pass

def late(when):
    print(when, __main__.__dict__ is globals(), sys.modules["__main__"] is __main__)
    print(pickle.dumps(Own()))

def run():
    threading.main_thread().join()
    late("in a thread")

print(sys.argv, sys.path[0], __file__, __name__, __package__, __doc__, type(__builtins__))
late("at once")
threading.Thread(target=run).start()
atexit.register(late, "at exit")
"""


def test_a_program_looks_around(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(LOOKING_AROUND)
    as_python_runs_it(path.name, folder=tmp_path)
    as_python_runs_it(str(path), "-m", "more", folder=tmp_path)


def test_a_link_to_a_program(tmp_path: Path) -> None:
    """What is beside the program is found, not what is beside the link."""
    (tmp_path / "of").mkdir()
    (tmp_path / "of" / "beside.py").write_text("")
    (tmp_path / "of" / "program.py").write_text("import beside\nprint(beside.__file__, __file__)\n")
    (tmp_path / "link").symlink_to("of/program.py")
    as_python_runs_it("link", folder=tmp_path)


def test_a_compiled_program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("print(__name__, __file__)\n")
    py_compile.compile(str(tmp_path / "program.py"), str(tmp_path / "program.pyc"))
    as_python_runs_it("program.pyc", folder=tmp_path)


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "of").mkdir()
    (tmp_path / "of" / "beside.py").write_text("")
    (tmp_path / "of" / "__main__.py").write_text("import beside, sys\nprint(sys.argv, __name__)\n")
    as_python_runs_it("of", "more", folder=tmp_path)


def test_without_the_programs_folder(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import sys\nprint(sys.path)\n")
    said = run("-P", "-m", "reactor.compat", "program.py", folder=tmp_path)
    assert said == run("-P", "program.py", folder=tmp_path)


def test_a_module(tmp_path: Path) -> None:
    path = program_in(tmp_path)
    said = run("-m", "reactor.compat", "-m", "program", "more", folder=tmp_path)
    assert said == f"__main__ {path} {[str(path), 'more']} True\nreactor.compat.asyncore\n"


def test_no_program(tmp_path: Path) -> None:
    done: Any = subprocess.run(
        [sys.executable, "-m", "reactor.compat"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode != 0
    assert "usage: python -m reactor.compat PROGRAM.py" in done.stderr
