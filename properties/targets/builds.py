"""Where released builds come from: npm, by way of a cache of our own.

A build is pinned by its exact version and verified by npm's integrity hash; nothing of it is ever run by npm.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from properties.target import TargetError

PACKAGE = "@clerk/clerk-js"

BUNDLES = ("clerk.native.js", "clerk.headless.js")
"""What React Native resolves: the first since 6.0, the second before."""

PAGE_BUNDLES = ("clerk.no-rhc.js",)
"""What a page can run as it is: the one build for browsers in a single file that loads nothing by itself."""

DOWNLOAD_TIMEOUT = 300
"""Seconds that npm may take."""

_EXACT = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
_STABLE = re.compile(r"\d+\.\d+\.\d+")
_UNKNOWN_VERSION = {"E404", "ETARGET"}
NO_NETWORK = {
    *("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ERR_SOCKET_TIMEOUT"),
    *("ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EPROTO", "ENOTCACHED"),
}


def cache_folder() -> Path:
    """Where builds are kept between runs, one folder for each version."""
    return platformdirs.user_cache_path("sessionproof") / "clerk-js"


def cached_versions() -> list[str]:
    """The versions that need no network, in the order of their numbers."""
    folder = cache_folder()
    found = [path.name for path in folder.iterdir() if _bundle_in(path)] if folder.is_dir() else []
    return sorted(found, key=numbers)


def released_versions() -> list[str]:
    """Every stable version that npm knows of, in the order of their numbers. Raises `TargetError`."""
    npm = shutil.which("npm")
    if npm is None:
        raise TargetError(f"npm is needed to list the versions of {PACKAGE}, and there is none on the PATH")
    command = [npm, "view", PACKAGE, "versions", "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetError(f"npm does not list the versions of {PACKAGE} ({type(error).__name__})") from None
    match _json(done.stdout):
        case [str(), *_] as versions if done.returncode == 0:
            return sorted((one for one in versions if _STABLE.fullmatch(one)), key=numbers)
        case said:
            raise _refusal("*", said if isinstance(said, dict) else {}, done.stderr)


def numbers(version: str) -> list[int]:
    """What versions are ordered by."""
    return [int(part) for part in re.findall(r"\d+", version)]


def fetch_build(version: str, say: Callable[[str], None], bundles: tuple[str, ...] = BUNDLES) -> Path:
    """The first of `bundles` that `version` has, from the cache or else npm; `say` is told before a download.

    Raises `TargetError`: no such version, a version that is not exact, no such bundle in it, no npm, no network.
    """
    if not _EXACT.fullmatch(version):
        raise TargetError(
            f"'{version}' is not an exact version of {PACKAGE}: pin one, such as 6.7.4 "
            f"(`npm view {PACKAGE} versions` lists them)"
        )
    home = cache_folder() / version
    if bundle := _bundle_in(home, bundles):
        return bundle
    npm = shutil.which("npm")
    if npm is None:
        raise TargetError(
            f"npm is needed to download {PACKAGE}@{version}, and there is none on the PATH: {_offline_remedy()}"
        )
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=home.parent) as scratch:
            say(f"downloading {PACKAGE}@{version} (3.5 MB, once)")
            tarball = _pack(npm, version, Path(scratch))
            _extract(tarball, version, Path(scratch) / "build")
            _move_into_place(Path(scratch) / "build", home)
    except OSError as error:
        raise TargetError(f"{PACKAGE}@{version} cannot be kept in {home.parent}: {error.strerror}") from None
    if bundle := _bundle_in(home, bundles):
        return bundle
    raise TargetError(f"{PACKAGE}@{version} has none of {', '.join(bundles)}: choose a newer version")


def _bundle_in(home: Path, bundles: tuple[str, ...] = BUNDLES) -> Path | None:
    return next((home / name for name in bundles if (home / name).is_file()), None)


def _offline_remedy() -> str:
    cached = ", ".join(cached_versions())
    have = f"cached versions are {cached}" if cached else "no version is cached"
    return f"{have}; the model targets work offline"


def _pack(npm: str, version: str, folder: Path) -> Path:
    """Let npm download and check the tarball into `folder`. Raises `TargetError`."""
    command = [npm, "pack", f"{PACKAGE}@{version}", "--json", "--ignore-scripts", "--pack-destination", "."]
    environment = {**os.environ, "npm_config_update_notifier": "false", "npm_config_fetch_retries": "1"}
    try:
        # Run in the cache, where no .npmrc or package.json of some other project lies.
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TargetError(
            f"npm took more than {DOWNLOAD_TIMEOUT} s for {PACKAGE}@{version}: {_offline_remedy()}"
        ) from None
    said = _json(done.stdout)
    if done.returncode != 0:
        raise _refusal(version, said if isinstance(said, dict) else {}, done.stderr)
    match said:
        case [{"filename": str(filename), "integrity": str(integrity)}]:
            tarball = folder / Path(filename).name
        case _:
            raise TargetError(f"npm said nothing usable of {PACKAGE}@{version}: is npm older than version 7?")
    algorithm, _, expected = integrity.partition("-")
    if base64.b64encode(hashlib.new(algorithm, tarball.read_bytes()).digest()).decode() != expected:
        raise TargetError(f"the download of {PACKAGE}@{version} is damaged ({algorithm} differs): try again")
    return tarball


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _refusal(version: str, said: dict[str, Any], stderr: str) -> TargetError:
    """npm's failure in one line. Its warnings, which come on stderr too, are left out."""
    error = said.get("error") or {}
    errors = re.findall(r"^npm (?:error|ERR!) (.*)$", stderr, re.MULTILINE)
    code = error.get("code") or next((line.split()[1] for line in errors if line.startswith("code ")), "unknown")
    if code in _UNKNOWN_VERSION:
        return TargetError(
            f"there is no {PACKAGE}@{version}: `npm view {PACKAGE} versions` lists the versions there are"
        )
    if code in NO_NETWORK:
        return TargetError(
            f"{PACKAGE}@{version} cannot be downloaded, there is no network ({code}): {_offline_remedy()}"
        )
    why = error.get("summary") or next((line for line in errors if not line.startswith("code ")), "no reason")
    return TargetError(f"npm failed to download {PACKAGE}@{version} ({code}): {str(why).splitlines()[0]}")


def _extract(tarball: Path, version: str, into: Path) -> None:
    """Take the bundles and package.json out of the tarball, by their exact names and nothing else."""
    into.mkdir()
    try:
        with tarfile.open(tarball) as archive:
            members = {member.name: member for member in archive if member.isfile()}
            wanted = {f"package/dist/{name}" for name in (*BUNDLES, *PAGE_BUNDLES)} & set(members)
            for name in ("package/package.json", *sorted(wanted)):
                content = archive.extractfile(members[name])
                assert content is not None, "only files are listed"
                (into / Path(name).name).write_bytes(content.read())
        found = _json((into / "package.json").read_text(errors="replace"))["version"]
    except (tarfile.TarError, KeyError, TypeError, EOFError):
        raise TargetError(f"the download of {PACKAGE}@{version} is no npm package: try again") from None
    if found != version:
        raise TargetError(f"npm was asked for {version} and got {found}: is a cache in between out of order?")


def _move_into_place(build: Path, home: Path) -> None:
    """Publish a finished build in one step. If another process was faster, its build is as good; one that is
    there already, from before pages could be run, gets what it lacks."""
    try:
        build.rename(home)
    except OSError:
        if not home.is_dir():
            raise
        for file in build.iterdir():
            if not (home / file.name).exists():
                file.replace(home / file.name)
