"""Download of released packages from npm into our own cache. Nothing here depends on a package.

A package is pinned to its exact version and checked against npm's integrity hash. npm runs none of its scripts.
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
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import platformdirs

from properties.system.orphans import ending_with_this_process
from properties.system.target import TargetError
from properties.targets.cache import cached, is_whole

DOWNLOAD_TIMEOUT = 300
"""The timeout for npm, in s."""

NPM_SETTINGS = {
    "npm_config_update_notifier": "false",
    # Without a network, npm would wait 70 s before it says so, or before it uses its own cache.
    "npm_config_fetch_retries": "1",
    "npm_config_fetch_retry_mintimeout": "500",
    "npm_config_fetch_retry_maxtimeout": "500",
    "npm_config_fetch_timeout": "30000",
}

_EXACT = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
_STABLE = re.compile(r"\d+\.\d+\.\d+")
_UNKNOWN_VERSION = {"E404", "ETARGET"}
NO_NETWORK = {
    *("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ERR_SOCKET_TIMEOUT"),
    *("ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EPROTO", "ENOTCACHED"),
}


@dataclass(frozen=True, slots=True)
class Package:
    """A package on npm, and which of its files are cached."""

    name: str
    example: str
    """An example of a version, for messages."""
    size: str
    """The size of its tarball, for messages."""
    keep: Callable[[Collection[str]], dict[str, str]]
    """Maps the names of its files to those of the cached files; empty if the version is unusable."""
    needs: str
    """What an unusable version lacks, for messages."""

    @property
    def short(self) -> str:
        """The name without its scope: what targets, options and folders are called by."""
        return self.name.rpartition("/")[2]


def scripts_of(names: Collection[str]) -> dict[str, str]:
    """The CommonJS modules of a package, as the files to cache."""
    return {name: name for name in names if name.startswith("dist/") and name.endswith((".js", ".cjs"))}


def cache_folder(package: Package) -> Path:
    """The cache folder of a package, with one folder for each version."""
    return platformdirs.user_cache_path("sessionproof") / package.short


def cached_versions(package: Package) -> list[str]:
    """The cached versions, in version order."""
    folder = cache_folder(package)
    found = [path.name for path in folder.iterdir() if is_whole(path)] if folder.is_dir() else []
    return sorted(found, key=numbers)


@cache
def released_versions(package: Package) -> list[str]:
    """Every stable version on npm, in version order. Raises `TargetError`."""
    with tempfile.TemporaryDirectory() as folder:
        what = f"list the versions of {package.name}"
        done = run_npm(["view", package.name, "versions", "--json"], Path(folder), what, _offline_remedy(package))
    match _json(done.stdout):
        case [str(), *_] as versions if done.returncode == 0:
            return sorted((one for one in versions if _STABLE.fullmatch(one)), key=numbers)
        case said:
            raise _refusal(package, "*", said if isinstance(said, dict) else {}, done.stderr)


def numbers(version: str) -> list[int]:
    """The sort key of a version."""
    return [int(part) for part in re.findall(r"\d+", version)]


def nearest(version: str, known: Sequence[str]) -> str:
    """The newest of the `known` versions, in version order, that is not newer than `version`; else the oldest."""
    return max((one for one in known if numbers(one) <= numbers(version)), key=numbers, default=known[0])


def existing(package: Package, version: str, say: Callable[[str], None]) -> str:
    """`version`, or the nearest release if npm has none of that number: then `say` gets a line. What is cached
    exists, and where npm cannot be asked, `version` is taken at its word."""
    if not _STABLE.fullmatch(version) or is_whole(cache_folder(package) / version):
        return version
    try:
        released = released_versions(package)
    except TargetError:
        return version
    if version in released:
        return version
    found = nearest(version, released)
    say(f"npm has no {package.name}@{version}: {found}, the nearest release, runs instead")
    return found


def fetch_package(package: Package, version: str, say: Callable[[str], None]) -> Path:
    """The folder of a version, from the cache or else from npm. `say` gets a line before a download.

    Raises `TargetError`: no such version, a version that is not exact, no npm, no network, a full disk.
    """
    if not _EXACT.fullmatch(version):
        raise TargetError(
            f"'{version}' is not an exact version of {package.name}: pin one, such as {package.example} "
            f"(`npm view {package.name} versions` lists them)"
        )

    def download(into: Path) -> None:
        with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
            _extract(_pack(package, version, Path(scratch)), package, version, into)

    home = cache_folder(package) / version
    return cached(home, f"{package.name}@{version}", package.size, download, say)


def lowest(wanted: str) -> str:
    """The lowest version in a range such as `^6.7.4`. Raises `TargetError`."""
    version = wanted.lstrip("^~>= ")
    if not _EXACT.fullmatch(version):
        raise TargetError(f"'{wanted}' is a range of versions that has no lowest one")
    return version


def _offline_remedy(package: Package) -> str:
    cached = ", ".join(cached_versions(package))
    have = f"cached versions are {cached}" if cached else "no version is cached"
    return f"{have}; the model targets work offline"


def _pack(package: Package, version: str, folder: Path) -> Path:
    """Download the tarball into `folder` with npm, and check its hash. Raises `TargetError`."""
    what = f"{package.name}@{version}"
    words = ["pack", what, "--json", "--ignore-scripts", "--pack-destination", "."]
    done = run_npm(words, folder, f"download {what}", _offline_remedy(package))
    said = _json(done.stdout)
    if done.returncode != 0:
        raise _refusal(package, version, said if isinstance(said, dict) else {}, done.stderr)
    match said:
        case [{"filename": str(filename), "integrity": str(integrity)}]:
            tarball = folder / Path(filename).name
        case _:
            raise TargetError(
                f"npm said nothing usable of {package.name}@{version}: is npm older than version 7?"
            )
    algorithm, _, expected = integrity.partition("-")
    if base64.b64encode(hashlib.new(algorithm, tarball.read_bytes()).digest()).decode() != expected:
        raise TargetError(f"the download of {package.name}@{version} is damaged ({algorithm} differs): try again")
    return tarball


def run_npm(words: list[str], folder: Path, what: str, remedy: str) -> subprocess.CompletedProcess[str]:
    """Run npm in `folder`, which is ours, so that no .npmrc or package.json of another project applies. `what`
    and `remedy` are for the message.

    Raises `TargetError` without npm, and on a timeout. The caller checks the exit status.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise TargetError(f"npm is needed to {what}, and there is none on the PATH: {remedy}")
    try:
        return subprocess.run(
            ending_with_this_process([npm, *words]),
            cwd=folder,
            env={**os.environ, **NPM_SETTINGS},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DOWNLOAD_TIMEOUT,
            check=False,
        )
    except OSError as error:
        raise TargetError(
            f"npm is needed to {what}, and it does not start ({error.strerror}): {remedy}"
        ) from None
    except subprocess.TimeoutExpired:
        raise TargetError(f"npm took more than {DOWNLOAD_TIMEOUT} s to {what}: {remedy}") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _refusal(package: Package, version: str, said: dict[str, Any], stderr: str) -> TargetError:
    """npm's failure in one line, without the warnings on stderr."""
    error = said.get("error") or {}
    errors = re.findall(r"^npm (?:error|ERR!) (.*)$", stderr, re.MULTILINE)
    code = error.get("code") or next((line.split()[1] for line in errors if line.startswith("code ")), "unknown")
    if code in _UNKNOWN_VERSION:
        return TargetError(
            f"there is no {package.name}@{version}: "
            f"`npm view {package.name} versions` lists the versions there are"
        )
    if code in NO_NETWORK:
        return TargetError(
            f"{package.name}@{version} cannot be downloaded, there is no network ({code}): "
            f"{_offline_remedy(package)}"
        )
    why = error.get("summary") or next((line for line in errors if not line.startswith("code ")), "no reason")
    return TargetError(f"npm failed to download {package.name}@{version} ({code}): {str(why).splitlines()[0]}")


def _extract(tarball: Path, package: Package, version: str, into: Path) -> None:
    """Extract the files to cache, and package.json, from the tarball, by their exact names."""
    try:
        with tarfile.open(tarball) as archive:
            members = {member.name.removeprefix("package/"): member for member in archive if member.isfile()}
            inside = [name for name in members if ".." not in PurePosixPath(name).parts]
            kept = package.keep(inside)
            if not kept:
                raise TargetError(f"{package.name}@{version} {package.needs}: choose a newer version")
            for name, target in {"package.json": "package.json", **kept}.items():
                content = archive.extractfile(members[name])
                assert content is not None, "only files are listed"
                (into / target).parent.mkdir(parents=True, exist_ok=True)
                (into / target).write_bytes(content.read())
        found = _json((into / "package.json").read_text(errors="replace"))["version"]
    except (tarfile.TarError, KeyError, TypeError, EOFError):
        raise TargetError(f"the download of {package.name}@{version} is no npm package: try again") from None
    if found != version:
        raise TargetError(f"npm was asked for {version} and got {found}: is a proxy or cache broken?")
