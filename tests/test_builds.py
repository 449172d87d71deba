"""Downloads: what is kept, what is refused, and what is said when npm cannot help. No network here."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

from properties.system.target import TargetError
from properties.targets import npm as downloads
from properties.targets.cache import SEAL
from properties.targets.clerk import builds
from properties.targets.dom import DOM
from properties.targets.locked import Locked

Damage: TypeAlias = Callable[[Path], object]

VERSION = "6.7.4"
BUNDLE = b"exports.Clerk = class {}"
PACKAGE_JSON = b'{"name": "@clerk/clerk-js", "version": "6.7.4"}'
FILES = {
    "package/package.json": PACKAGE_JSON,
    "package/dist/clerk.native.js": BUNDLE,
    "package/dist/clerk.browser.js": b"too big to keep",
    "package/../../../escaped.js": b"evil",
}

NPM = """#!{python}
import json, pathlib, sys
with open({log!r}, "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
print("npm warn Unknown user config", file=sys.stderr)
pathlib.Path("clerk.tgz").write_bytes(pathlib.Path({tarball!r}).read_bytes())
print({said!r})
print({errors!r}, file=sys.stderr)
sys.exit({status})
"""


class FakeNpm:
    """An `npm` on the PATH that says what a test wants it to say, and counts how often it was run."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.log = folder / "log"
        self.tarball = folder / "tarball.tgz"
        self.tarball.write_bytes(b"")
        self.log.write_text("")
        monkeypatch.setenv("PATH", str(self.bin))

    @property
    def runs(self) -> int:
        """How often it was run."""
        return len(self.log.read_text().splitlines())

    def offers(self, files: dict[str, bytes], damage: bytes = b"") -> None:
        """Have a package, with a hash that is right unless the tarball is damaged afterwards."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        digest = base64.b64encode(hashlib.sha512(packed.getvalue()).digest()).decode()
        self.tarball.write_bytes(packed.getvalue() + damage)
        self.says(json.dumps([{"filename": "clerk.tgz", "integrity": f"sha512-{digest}"}]))

    def refuses(self, code: str, summary: str = "", on_stdout: bool = True) -> None:
        """Fail with one of npm's codes, told in JSON or, as some versions do, on stderr alone."""
        said = json.dumps({"error": {"code": code, "summary": summary}}) if on_stdout else ""
        self.says(said, f"npm error code {code}\nnpm error {summary}", status=1)

    def says(self, said: str, errors: str = "", status: int = 0) -> None:
        """Print this, and end so."""
        script = NPM.format(
            python=sys.executable,
            log=str(self.log),
            tarball=str(self.tarball),
            said=said,
            errors=errors,
            status=status,
        )
        (self.bin / "npm").write_text(script)
        (self.bin / "npm").chmod(0o755)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache" / "clerk-js"
    monkeypatch.setattr(downloads, "cache_folder", lambda package: folder.with_name(package.name.split("/")[1]))
    return folder


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNpm]:
    """An npm of ours, and no other."""
    downloads.released_versions.cache_clear()
    yield FakeNpm(tmp_path, monkeypatch)
    downloads.released_versions.cache_clear()


def silent(line: str) -> None:
    """Nobody listens."""


def test_a_download_is_announced_and_happens_once(cache: Path, npm: FakeNpm) -> None:
    npm.offers(FILES)
    said: list[str] = []
    bundle = builds.fetch_build(VERSION, said.append)
    assert bundle.read_bytes() == BUNDLE
    assert builds.fetch_build(VERSION, said.append) == bundle
    assert npm.runs == 1
    assert said == ["downloading @clerk/clerk-js@6.7.4 (3.5 MB, once)"]


def test_only_the_bundle_and_package_json_are_kept(cache: Path, npm: FakeNpm) -> None:
    npm.offers(FILES)
    builds.fetch_build(VERSION, silent)
    kept = {str(path.relative_to(cache.parent.parent)) for path in cache.parent.rglob("*") if path.is_file()}
    assert {Path(name).name for name in kept} == {"clerk.native.js", "package.json", SEAL}


def test_releases_before_6_have_a_bundle_of_another_name(cache: Path, npm: FakeNpm) -> None:
    npm.offers({"package/package.json": b'{"version": "5.0.0"}', "package/dist/clerk.headless.js": BUNDLE})
    assert builds.fetch_build("5.0.0", silent).name == "clerk.headless.js"


def test_a_folder_without_a_hash_is_downloaded_again(cache: Path, npm: FakeNpm) -> None:
    """It may be from an older version of this harness, and nobody can say what is in it."""
    home = cache / VERSION
    home.mkdir(parents=True)
    (home / "clerk.native.js").write_bytes(b"as it was")
    npm.offers({**FILES, "package/dist/clerk.no-rhc.js": b"for a page"})
    assert builds.fetch_build(VERSION, silent).read_bytes() == BUNDLE
    page = builds.fetch_build(VERSION, silent, builds.PAGE_BUNDLES)
    assert page.read_bytes() == b"for a page"
    assert npm.runs == 1


def flip(at: int) -> Damage:
    """Another byte at a place of the bundle."""
    return lambda home: (home / "clerk.native.js").write_bytes(
        BUNDLE[:at] + bytes([BUNDLE[at] ^ 1]) + BUNDLE[at + 1 :]
    )


DAMAGES: list[Damage] = [
    *(flip(at) for at in range(len(BUNDLE))),
    *(lambda home, to=to: (home / "clerk.native.js").write_bytes(BUNDLE[:to]) for to in range(len(BUNDLE))),
    lambda home: (home / "clerk.native.js").write_bytes(BUNDLE + b"\n"),
    lambda home: (home / "clerk.native.js").unlink(),
    lambda home: (home / "package.json").write_bytes(b"{}"),
    lambda home: (home / "clerk.native.js").rename(home / "clerk.headless.js"),
    lambda home: (home / "more.js").touch(),
    lambda home: (home / SEAL).write_bytes(b"\xff"),
    lambda home: (home / SEAL).unlink(),
]


def test_a_folder_that_is_not_what_was_downloaded_is_noticed(cache: Path, npm: FakeNpm, tmp_path: Path) -> None:
    npm.offers(FILES)
    home = builds.fetch_build(VERSION, silent).parent
    whole = shutil.copytree(home, tmp_path / "whole")
    assert len(DAMAGES) > 50
    for damage in DAMAGES:
        assert downloads.cached_versions(builds.CLERK_JS) == [VERSION]
        damage(home)
        assert downloads.cached_versions(builds.CLERK_JS) == []
        shutil.rmtree(home)
        shutil.copytree(whole, home)


def test_a_damaged_folder_is_downloaded_again_with_a_word(cache: Path, npm: FakeNpm) -> None:
    npm.offers(FILES)
    home = builds.fetch_build(VERSION, silent).parent
    flip(3)(home)
    said: list[str] = []
    assert builds.fetch_build(VERSION, said.append).read_bytes() == BUNDLE
    assert said == [
        f"downloading @clerk/clerk-js@6.7.4 (3.5 MB, once), because the copy in {home} is not what was downloaded"
    ]
    assert npm.runs == 2
    assert [path.name for path in cache.iterdir()] == [VERSION]


def test_a_damaged_folder_stays_where_npm_cannot_help(cache: Path, npm: FakeNpm) -> None:
    npm.offers(FILES)
    home = builds.fetch_build(VERSION, silent).parent
    flip(3)(home)
    npm.refuses("ENOTFOUND")
    with pytest.raises(TargetError, match="no version is cached"):
        builds.fetch_build(VERSION, silent)
    assert [path.name for path in cache.iterdir()] == [VERSION]


def test_one_download_serves_every_runtime(cache: Path, npm: FakeNpm) -> None:
    npm.offers({**FILES, "package/dist/clerk.no-rhc.js": b"for a page"})
    for bundles in (builds.BUNDLES, builds.PAGE_BUNDLES):
        builds.fetch_build(VERSION, silent, bundles)
    assert npm.runs == 1


def test_a_release_without_a_bundle_for_a_page_is_told(cache: Path, npm: FakeNpm) -> None:
    npm.offers(FILES)
    with pytest.raises(TargetError, match=r"6\.7\.4 has none of clerk\.no-rhc\.js: choose a newer version"):
        builds.fetch_build(VERSION, silent, builds.PAGE_BUNDLES)


def test_without_npm_or_a_network_the_missing_dom_is_told(
    npm: FakeNpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Locked, "home", tmp_path / "dom" / "0")
    npm.refuses("ENOTFOUND")
    with pytest.raises(TargetError, match=r"jsdom cannot be downloaded, there is no network \(ENOTFOUND\)"):
        DOM.fetch(silent)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match="npm is needed to download jsdom"):
        DOM.fetch(silent)
    assert not list((tmp_path / "dom").iterdir())


def test_a_damaged_download_is_not_kept(cache: Path, npm: FakeNpm) -> None:
    npm.offers(FILES, damage=b"!")
    with pytest.raises(TargetError, match="is damaged"):
        builds.fetch_build(VERSION, silent)
    assert downloads.cached_versions(builds.CLERK_JS) == []
    assert not list(cache.iterdir())


def test_a_package_of_another_version_is_not_kept(cache: Path, npm: FakeNpm) -> None:
    npm.offers({**FILES, "package/package.json": b'{"version": "6.7.3"}'})
    with pytest.raises(TargetError, match=r"asked for 6\.7\.4 and got 6\.7\.3"):
        builds.fetch_build(VERSION, silent)


def test_a_package_without_a_native_bundle_is_told(cache: Path, npm: FakeNpm) -> None:
    npm.offers({"package/package.json": PACKAGE_JSON})
    with pytest.raises(TargetError, match=r"has none of clerk\.native\.js, clerk\.headless\.js"):
        builds.fetch_build(VERSION, silent)


def test_two_at_once_both_get_the_build(cache: Path, npm: FakeNpm) -> None:
    npm.offers(FILES)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda version: builds.fetch_build(version, silent), [VERSION, VERSION])
    assert first == second
    assert first.read_bytes() == BUNDLE


@pytest.mark.parametrize("name", ["latest", "6", "6.7", "^6.7.4", "6.7.x", "../6.7.4", "6.7.4 --x", ""])
def test_a_version_that_is_not_exact_is_refused_without_asking_npm(cache: Path, npm: FakeNpm, name: str) -> None:
    npm.offers(FILES)
    with pytest.raises(TargetError, match="is not an exact version of @clerk/clerk-js: pin one"):
        builds.fetch_build(name, silent)
    assert npm.runs == 0


@pytest.mark.parametrize("code", ["ETARGET", "E404"])
@pytest.mark.parametrize("on_stdout", [True, False])
def test_an_unknown_version_is_told_with_the_way_to_list_them(
    cache: Path, npm: FakeNpm, code: str, on_stdout: bool
) -> None:
    npm.refuses(code, on_stdout=on_stdout)
    with pytest.raises(TargetError) as told:
        builds.fetch_build("9.9.9", silent)
    assert str(told.value) == (
        "there is no @clerk/clerk-js@9.9.9: `npm view @clerk/clerk-js versions` lists the versions there are"
    )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("6.7.1", "6.7.1"),
        ("6.7.2", "6.7.1"),
        ("6.9.9", "6.7.10"),
        ("7.0.0", "6.10.0"),
        ("5.0.0", "6.7.1"),
        ("6.7.2-canary.1", "6.7.2-canary.1"),
        ("^6.7.2", "^6.7.2"),
    ],
)
def test_a_release_that_is_not_there_is_replaced_by_the_nearest_one(
    cache: Path, npm: FakeNpm, wanted: str, found: str
) -> None:
    npm.says(json.dumps(["6.7.1", "6.7.10", "6.10.0", "6.11.0-canary.1"]))
    said: list[str] = []
    assert downloads.existing(builds.CLERK_JS, wanted, said.append) == found
    replaced = f"npm has no @clerk/clerk-js@{wanted}: {found}, the nearest release, runs instead"
    assert said == [replaced] * (wanted != found)


def test_a_cached_release_is_there_without_asking_npm(cache: Path, npm: FakeNpm) -> None:
    (cache / "6.7.2").mkdir(parents=True)
    assert downloads.existing(builds.CLERK_JS, "6.7.2", silent) == "6.7.2"
    assert npm.runs == 0


def test_without_npm_a_release_is_taken_at_its_word(cache: Path, npm: FakeNpm) -> None:
    npm.refuses("ENOTFOUND")
    assert downloads.existing(builds.CLERK_JS, "6.7.2", silent) == "6.7.2"


@pytest.mark.parametrize("code", ["ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNREFUSED"])
def test_without_a_network_the_versions_at_hand_are_named(cache: Path, npm: FakeNpm, code: str) -> None:
    for version in ("6.10.0", "6.7.1"):
        npm.offers({**FILES, "package/package.json": json.dumps({"version": version}).encode()})
        builds.fetch_build(version, silent)
    npm.refuses(code)
    with pytest.raises(TargetError) as told:
        builds.fetch_build(VERSION, silent)
    assert str(told.value) == (
        f"@clerk/clerk-js@6.7.4 cannot be downloaded, there is no network ({code}): "
        "cached versions are 6.7.1, 6.10.0; the model targets work offline"
    )


def test_without_npm_the_remedy_is_named(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match=r"npm is needed to download .* no version is cached"):
        builds.fetch_build(VERSION, silent)


def test_any_other_failure_of_npm_is_one_line(cache: Path, npm: FakeNpm) -> None:
    npm.refuses("E500", "500 Internal Server Error\nmore of it")
    with pytest.raises(TargetError) as told:
        builds.fetch_build(VERSION, silent)
    assert str(told.value).endswith("(E500): 500 Internal Server Error")


def test_nonsense_from_npm_is_one_line(cache: Path, npm: FakeNpm) -> None:
    npm.says("hello")
    with pytest.raises(TargetError, match="npm said nothing usable"):
        builds.fetch_build(VERSION, silent)


def test_npm_runs_apart_from_the_folder_of_the_user(
    cache: Path, npm: FakeNpm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An .npmrc or package.json there is another project's, and a download is no part of it."""
    note = f"import os; open({str(npm.log)!r}, 'a').write(os.getcwd() + chr(10)); exit(1)"
    script = f"#!{sys.executable}\n{note}\n"
    (npm.bin / "npm").write_text(script)
    (npm.bin / "npm").chmod(0o755)
    for ask in (
        lambda: downloads.released_versions(builds.CLERK_JS),
        lambda: builds.fetch_build(VERSION, silent),
        lambda: DOM.fetch(silent),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(Locked, "home", cache / "dom")
            with pytest.raises(TargetError):
                ask()
    folders = npm.log.read_text().splitlines()
    assert len(folders) == 3
    assert not [folder for folder in folders if Path(folder) == Path.cwd()]
