"""dulwich: a git server whose handler class is a method and whose `serve` is our `serve_forever`."""

from dulwich.client import TCPGitClient
from dulwich.objects import Commit, Tree
from dulwich.repo import MemoryRepo
from dulwich.server import DictBackend, TCPGitServer

from tests.conformance.programs.driving import running


def commit(repository):
    made = Commit()
    made.tree = Tree().id
    made.author = made.committer = b"A <a@example.org>"
    made.author_time = made.commit_time = made.author_timezone = made.commit_timezone = 0
    made.message = b"one"
    repository.object_store.add_objects([(Tree(), None), (made, None)])
    repository.refs[b"refs/heads/one"] = made.id
    return made.id


def test_clone():
    source, copy = MemoryRepo(), MemoryRepo()
    made = commit(source)
    with running(TCPGitServer(DictBackend({b"/": source}), "127.0.0.1", 0)) as server:
        assert server.serve.__func__ is type(server).serve_forever
        client = TCPGitClient("127.0.0.1", port=server.server_address[1])
        result = client.fetch(b"/", copy)
    assert result.refs[b"refs/heads/one"] == made
    assert copy[made].message == b"one"
