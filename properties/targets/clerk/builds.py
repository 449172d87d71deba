"""Where released packages come from: npm, by way of a cache of our own.

A package is pinned by its exact version and verified by npm's integrity hash; nothing of it is ever run by npm.
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
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import platformdirs

from properties.system.target import TargetError

BUNDLES = ("clerk.native.js", "clerk.headless.js")
"""What React Native resolves of @clerk/clerk-js: the first since 6.0, the second before."""

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


@dataclass(frozen=True, slots=True)
class Package:
    """A package on npm, and what of it is kept."""

    name: str
    example: str
    """A version, for messages."""
    size: str
    """Of its tarball, for messages."""
    keep: Callable[[Collection[str]], dict[str, str]]
    """Of the names of its files, those that are kept, each with its name in the cache; none if it is no use."""
    needs: str
    """What it lacks, for messages, when none is kept."""


def _bundles_of(names: Collection[str]) -> dict[str, str]:
    return {f"dist/{name}": name for name in (*BUNDLES, *PAGE_BUNDLES) if f"dist/{name}" in names}


def scripts_of(names: Collection[str]) -> dict[str, str]:
    """What a package is made of when it runs: its CommonJS modules."""
    return {name: name for name in names if name.startswith("dist/") and name.endswith(".js")}


CLERK_JS = Package("@clerk/clerk-js", "6.7.4", "3.5 MB", _bundles_of, f"has none of {', '.join(BUNDLES)}")


def cache_folder(package: Package = CLERK_JS) -> Path:
    """Where a package is kept between runs, one folder for each version."""
    return platformdirs.user_cache_path("sessionproof") / package.name.rpartition("/")[2]


def cached_versions(package: Package = CLERK_JS) -> list[str]:
    """The versions that need no network, in the order of their numbers."""
    folder = cache_folder(package)
    # What is moved into place is whole; what is under way begins with a dot.
    found = [path.name for path in folder.iterdir() if _EXACT.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=numbers)


def released_versions() -> list[str]:
    """Every stable version of @clerk/clerk-js that npm knows of, in the order of their numbers.

    Raises `TargetError`.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise TargetError(f"npm is needed to list the versions of {CLERK_JS.name}, and there is none on the PATH")
    command = [npm, "view", CLERK_JS.name, "versions", "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetError(f"npm does not list the versions of {CLERK_JS.name} ({type(error).__name__})") from None
    match _json(done.stdout):
        case [str(), *_] as versions if done.returncode == 0:
            return sorted((one for one in versions if _STABLE.fullmatch(one)), key=numbers)
        case said:
            raise _refusal(CLERK_JS, "*", said if isinstance(said, dict) else {}, done.stderr)


def numbers(version: str) -> list[int]:
    """What versions are ordered by."""
    return [int(part) for part in re.findall(r"\d+", version)]


def fetch_build(version: str, say: Callable[[str], None], bundles: tuple[str, ...] = BUNDLES) -> Path:
    """The first of `bundles` that a version of @clerk/clerk-js has.

    Raises `TargetError` as `fetch_package` does, and when it has none of them.
    """

    def bundle_in(home: Path) -> Path | None:
        return next((home / name for name in bundles if (home / name).is_file()), None)

    home = fetch_package(CLERK_JS, version, say, lambda home: bundle_in(home) is not None)
    if bundle := bundle_in(home):
        return bundle
    raise TargetError(f"{CLERK_JS.name}@{version} has none of {', '.join(bundles)}: choose a newer version")


def _is_whole(home: Path) -> bool:
    return (home / "package.json").is_file()


def fetch_package(
    package: Package, version: str, say: Callable[[str], None], has: Callable[[Path], bool] = _is_whole
) -> Path:
    """The folder of a version, from the cache if that `has` what is needed, or else from npm; `say` is told
    before a download.

    Raises `TargetError`: no such version, a version that is not exact, no npm, no network.
    """
    if not _EXACT.fullmatch(version):
        raise TargetError(
            f"'{version}' is not an exact version of {package.name}: pin one, such as {package.example} "
            f"(`npm view {package.name} versions` lists them)"
        )
    home = cache_folder(package) / version
    if has(home):
        return home
    npm = shutil.which("npm")
    if npm is None:
        raise TargetError(
            f"npm is needed to download {package.name}@{version}, and there is none on the PATH: "
            f"{_offline_remedy(package)}"
        )
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=home.parent) as scratch:
            say(f"downloading {package.name}@{version} ({package.size}, once)")
            tarball = _pack(npm, package, version, Path(scratch))
            _extract(tarball, package, version, Path(scratch) / "build")
            _move_into_place(Path(scratch) / "build", home)
    except OSError as error:
        raise TargetError(f"{package.name}@{version} cannot be kept in {home.parent}: {error.strerror}") from None
    return home


def lowest(wanted: str) -> str:
    """The lowest version in a range such as `^6.7.4`: the one it was written for. Raises `TargetError`."""
    version = wanted.lstrip("^~>= ")
    if not _EXACT.fullmatch(version):
        raise TargetError(f"'{wanted}' is a range of versions that has no lowest one")
    return version


def _offline_remedy(package: Package) -> str:
    cached = ", ".join(cached_versions(package))
    have = f"cached versions are {cached}" if cached else "no version is cached"
    return f"{have}; the model targets work offline"


def _pack(npm: str, package: Package, version: str, folder: Path) -> Path:
    """Let npm download and check the tarball into `folder`. Raises `TargetError`."""
    what = f"{package.name}@{version}"
    words = ["pack", what, "--json", "--ignore-scripts", "--pack-destination", "."]
    done = run_npm(npm, words, folder, what, _offline_remedy(package))
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


def run_npm(npm: str, words: list[str], folder: Path, what: str, remedy: str) -> subprocess.CompletedProcess[str]:
    """Run npm in `folder`: one of our own, where no .npmrc or package.json of some other project lies. `what` it
    is for, and the `remedy`, are for the message.

    Raises `TargetError` when it takes too long; what it says otherwise is for the caller to read.
    """
    environment = {**os.environ, "npm_config_update_notifier": "false", "npm_config_fetch_retries": "1"}
    try:
        return subprocess.run(
            [npm, *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TargetError(f"npm took more than {DOWNLOAD_TIMEOUT} s for {what}: {remedy}") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _refusal(package: Package, version: str, said: dict[str, Any], stderr: str) -> TargetError:
    """npm's failure in one line. Its warnings, which come on stderr too, are left out."""
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
    """Take what is kept, and package.json, out of the tarball, by their exact names and nothing else."""
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
