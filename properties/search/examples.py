"""Hypothesis's example database: where a run stores the failures that it finds, and which it replays first.

Hypothesis derives the key of a failure from the cell, the invariants and the source of the test. So machines
that share a database must run the same versions of sessionproof, Hypothesis and Python. The location of the
checkout does not matter, except for a target that is named by its path.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import platformdirs
from hypothesis.database import (
    DirectoryBasedExampleDatabase,
    ExampleDatabase,
    GitHubArtifactDatabase,
    MultiplexedDatabase,
    ReadOnlyDatabase,
)
from hypothesis.errors import HypothesisWarning

from properties.system.failures import Failure

if TYPE_CHECKING:
    from redis import Redis

FORMS = "none, FOLDER, dir:FOLDER, redis://HOST:PORT/DB, rediss://HOST:PORT/DB or github:OWNER/REPO[@ARTIFACT]"

TIMEOUT = 2.0
"""The timeout for Redis, in s."""

GITHUB_TIMEOUT = 20.0
"""The socket timeout for GitHub, in s."""

REDIS_PREFIX = b"sessionproof-example:"
"""The prefix of our keys in Redis, which may be shared with other projects that use Hypothesis."""

GITHUB = re.compile(r"(?P<owner>[\w.-]+)/(?P<repo>[\w.-]+)(@(?P<artifact>[^\\/\":<>|*?\r\n]+))?")


class BadDatabase(Failure):
    """An example database cannot be used."""


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def database(spec: str, say: Callable[[str], None] = _to_stderr) -> ExampleDatabase | None:
    """The example database that `spec` names, ready for use; None for `none`, which stores nothing.

    Several specs, separated by commas, are combined: all are read, and all are written except GitHub artifacts.
    If Redis or GitHub fails during the search, `say` gets one line, and the search continues without it.

    Raises `BadDatabase`; within `TIMEOUT` if Redis does not answer.
    """
    if spec == "none":
        return None
    members = [_member(one.strip(), say) for one in spec.split(",")]
    return members[0] if len(members) == 1 else MultiplexedDatabase(*members)


def _member(spec: str, say: Callable[[str], None]) -> ExampleDatabase:
    kind, colon, rest = spec.partition(":")
    if spec == "none":
        raise BadDatabase("'none' keeps no examples, so it cannot be joined to other databases: leave it out")
    if kind == "dir" and rest:
        return _folder(rest)
    if kind in {"redis", "rediss"} and rest.startswith("//"):
        return _redis(spec, say)
    if kind == "github" and colon:
        return _github(rest, say)
    # A word before a colon, or a bare keyword, is a typo rather than a folder. One letter is a Windows drive.
    if (
        not spec
        or (colon and re.fullmatch(r"[\w+.-]{2,}", kind))
        or spec.lower() in {"none", "dir", "redis", "github"}
    ):
        shown = f"{kind}://..." if rest.startswith("//") else spec  # there may be a password in it
        raise BadDatabase(f"unknown example database '{shown}' (known forms: {FORMS})")
    return _folder(spec)


def _folder(name: str) -> ExampleDatabase:
    try:
        path = Path(name).expanduser().absolute()
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(
            dir=path
        ):  # asking for permission is not enough: root has it, on a full disk too
            pass
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadDatabase(
            f"examples cannot be kept in {name} ({why}): name a folder that can be written to, or none"
        ) from error
    return DirectoryBasedExampleDatabase(path)


def _redis(url: str, say: Callable[[str], None]) -> ExampleDatabase:
    try:
        from hypothesis.extra.redis import RedisExampleDatabase  # noqa: PLC0415 (an extra)
        from redis import Redis, RedisError  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import ConnectionError as Broken  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415
    except ImportError as error:
        raise BadDatabase(
            "examples in Redis need the package redis, which is not installed: pip install 'sessionproof[redis]'"
        ) from error
    name = _without_secrets(url)
    # Retry once, on a new connection, because an idle one may have been dropped. Never retry after a timeout.
    again = Retry(NoBackoff(), 1, supported_errors=(Broken,))
    try:
        client: Redis = Redis.from_url(
            url, socket_connect_timeout=TIMEOUT, socket_timeout=TIMEOUT, retry=again, protocol=2
        )
        _ping(client)
    except (RedisError, OSError, ValueError, TypeError) as error:
        raise BadDatabase(
            f"{name} does not answer as Redis does ({_one_line(error)}): "
            "start it, correct the address, or leave it out"
        ) from error
    return _Remote(RedisExampleDatabase(client, key_prefix=REDIS_PREFIX), name, say)


def _ping(client: Redis) -> None:
    try:
        client.ping()
    except BaseException:
        client.close()
        raise


def _without_secrets(url: str) -> str:
    """The URL without credentials. Raises `BadDatabase` if it is malformed; the message shows no part of it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or not re.fullmatch(r"(/\d*)?", parts.path):
        kind = url.partition(":")[0]
        raise BadDatabase(
            f"this is not a {kind} address: give {kind}://[[USER]:PASSWORD@]HOST[:PORT][/DB], "
            "where PORT and DB are numbers, and a comma in the password is %2C"
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port or 6379}/{parts.path.strip('/') or 0}"


def _github(place: str, say: Callable[[str], None]) -> ExampleDatabase:
    found = GITHUB.fullmatch(place)
    if not found:
        raise BadDatabase(f"unknown example database 'github:{place}' (known forms: {FORMS})")
    name = f"github:{place}"
    if not os.environ.get("GITHUB_TOKEN"):
        raise BadDatabase(
            f"{name} needs a token that may read the repository's actions: set GITHUB_TOKEN, or leave it out"
        )
    owner, repo, artifact = found["owner"], found["repo"], found["artifact"] or "hypothesis-example-db"
    # Hypothesis names its copy after the artifact alone, which would mix up repositories.
    copy = platformdirs.user_cache_path("sessionproof") / "examples" / f"{owner}+{repo}+{artifact}"

    def tell(why: str) -> None:
        say(f"EXAMPLES NOT AS ASKED: {name} ({why}). The search goes on.")

    return ReadOnlyDatabase(_Remote(_GitHub(owner, repo, artifact, copy, tell), name, say))


class _GitHub(GitHubArtifactDatabase):
    """Hypothesis's database, with a timeout of `GITHUB_TIMEOUT`. It reports warnings through `tell`, because
    pytest may turn a warning into an error, which would end the search."""

    def __init__(self, owner: str, repo: str, artifact: str, copy: Path, tell: Callable[[str], None]) -> None:
        super().__init__(owner, repo, artifact, path=copy)
        self._tell = tell

    def fetch(self, key: bytes) -> Iterable[bytes]:
        usual = socket.getdefaulttimeout()
        socket.setdefaulttimeout(GITHUB_TIMEOUT)
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                values = list(super().fetch(key))
        finally:
            socket.setdefaulttimeout(usual)
        if told := [_one_line(one.message) for one in warned if issubclass(one.category, HypothesisWarning)]:
            self._tell("; ".join(told))
        return values


class _Remote(ExampleDatabase):
    """A database on another machine. Its failures are no findings and never end a search: the first one is
    reported, and from then on the database is empty and stores nothing. There is no retry, because every attempt
    may cost a timeout, and a search makes many."""

    def __init__(self, remote: ExampleDatabase, name: str, say: Callable[[str], None]) -> None:
        super().__init__()
        self._remote = remote
        self._name = name
        self._say = say
        self._lost = False

    def __repr__(self) -> str:
        return f"<examples in {self._name}>"  # what is wrapped may show a password

    def fetch(self, key: bytes) -> Iterable[bytes]:
        values: list[bytes] = []
        self._try(lambda: values.extend(self._remote.fetch(key)))
        return values

    def save(self, key: bytes, value: bytes) -> None:
        self._try(lambda: self._remote.save(key, value))

    def delete(self, key: bytes, value: bytes) -> None:
        self._try(lambda: self._remote.delete(key, value))

    def move(self, src: bytes, dest: bytes, value: bytes) -> None:
        self._try(lambda: self._remote.move(src, dest, value))

    def _try(self, act: Callable[[], None]) -> None:
        if self._lost:
            return
        try:
            act()
        except Exception as error:  # whatever it is, it is the store's fault, and no finding
            self._lost = True
            self._say(
                f"EXAMPLES NO LONGER SHARED: {self._name} failed ({_one_line(error)}). "
                "The search goes on without it."
            )


def _one_line(error: Exception | Warning | str) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
