"""The registry of SDKs: how they are found, what is asked of them, and that nothing outside names one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest
from msgspec.structs import replace

from model.clerk import terms as clerks
from model.clerk.policy import POLICIES, PROPOSED
from model.clerk.sdk import CLERK
from model.operations import OperationStruct
from model.terms import Runtime
from model.world.events import Event
from properties.invariants.verdict import Cell
from properties.run import schema
from properties.run.known import Finding
from properties.system import registry
from properties.system.target import Target, TargetError
from properties.system.trace import Trace, load
from properties.targets import names
from properties.targets.closing import close_all
from properties.targets.model import ModelTarget, as_model
from properties.targets.names import (
    UnknownName,
    adapter_of,
    built_in,
    forms,
    judged_on,
    make_target,
    newest,
    policy,
)
from tests.support import HEADLINE, ROOT, assuming, check, complaint, model, sessionproof
from tests.toy.adapter import TOY_ADAPTER

TOY = "tests.toy.adapter:TOY_ADAPTER"
OURS = "model, model@POLICY, clerk-js@VERSION, expo@VERSION, expo@VERSION+clerk-js@VERSION"


def silent(line: str) -> None:
    """Nobody listens."""


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy SDK beside the built-in one."""
    monkeypatch.setenv(registry.VARIABLE, f" {TOY}, {TOY}")


# -- finding SDKs ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("toy")
def test_an_sdk_is_added_by_naming_it_in_the_environment() -> None:
    assert [one.name for one in names.adapters()] == ["clerk", "toy"]
    assert make_target("toy@x.cjs", silent).name == "toy@x.cjs"
    assert make_target("clerk-js@6.7.4", silent).name == "clerk-js@6.7.4"
    assert forms() == f"{OURS}, path:FILE or toy@FILE"
    with pytest.raises(UnknownName, match=r"^a build of toy is named toy@FILE$"):
        make_target("toy", silent)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("@clerk/clerk-js@6.7.4", "clerk-js@6.7.4"),
        ("@clerk/expo@3.2.1", "expo@3.2.1"),
        ("expo@3.2.1+clerk-js@6.7.4", "expo@3.2.1+clerk-js@6.7.4"),
        ("@clerk/expo@3.2.1+@clerk/clerk-js@6.7.4", "expo@3.2.1+clerk-js@6.7.4"),
        ("@clerk/expo@3.2.1+rejecting-cache", "expo@3.2.1+rejecting-cache"),
        ("@clerk/clerk-js@6.7.4+partitioned-cookies", "clerk-js@6.7.4+partitioned-cookies"),
        ("expo@3.2.1+clerk-js@6.7.4+rejecting-cache", "expo@3.2.1+clerk-js@6.7.4+rejecting-cache"),
        ("path:a+b/@clerk/clerk-js@6.7.4.js", "path:a+b/@clerk/clerk-js@6.7.4.js"),
    ],
)
def test_a_target_has_its_names_on_npm_too(spec: str, name: str) -> None:
    assert make_target(spec, silent).name == name


@pytest.mark.parametrize(
    "spec",
    [
        *("expo@3.2.1+", "expo@3.2.1+clerk-js@", "clerk-js@6.7.4+expo@3.2.1", "path:"),
        *("clerk-js@6.7.4+rejecting-cache", "expo@3.2.1+rejecting-cache+clerk-js@6.7.4"),
        *("expo@3.2.1+partitioned-cookies", "expo@3.2.1+clerk-js@6.7.4+partitioned-cookies"),
    ],
)
def test_a_target_of_two_packages_names_both(spec: str) -> None:
    with pytest.raises(
        UnknownName, match=r"known forms: clerk-js@VERSION, expo@VERSION, expo@VERSION\+clerk-js@"
    ):
        make_target(spec, silent)


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("expo@3.2.7+native-module", ("only-the-app-signs-out",)),
        ("@clerk/expo@3.7.5+clerk-js@6.25.3+resource-cache", ("one-start-retry-at-a-time",)),
        *(
            (spec, ())
            for spec in ("expo@3.2.7", "expo@3.6.2+early-singleton", "clerk-js@6.7.4", "model", "nothing")
        ),
    ],
)
def test_an_app_of_a_setup_is_judged_by_what_that_brings_into_question(spec: str, names: tuple[str, ...]) -> None:
    assert judged_on(spec) == names


def test_without_it_nobody_knows_of_it() -> None:
    assert forms() == f"{OURS} or path:FILE"
    with pytest.raises(UnknownName, match=r"^unknown target 'toy@x\.cjs' \(known forms: model, "):
        make_target("toy@x.cjs", silent)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy SDK as the entry point of an installed package."""
    entry = metadata.EntryPoint("toy", TOY, registry.ENTRY_POINTS)
    found = {registry.ENTRY_POINTS: [entry]}
    monkeypatch.setattr(metadata, "entry_points", lambda group: found.get(group, []))
    registry._installed.cache_clear()
    yield
    registry._installed.cache_clear()


@pytest.mark.usefixtures("installed")
def test_an_sdk_is_added_by_installing_it() -> None:
    assert [one.name for one in names.adapters()] == ["clerk", "toy"]


BROKEN = [
    (
        "nowhere.at:ALL",
        "the SDK 'nowhere.at:ALL' cannot be imported (ModuleNotFoundError: No module named",
    ),
    ("tests.toy.adapter:NONE", "the SDK 'tests.toy.adapter:NONE' cannot be imported (AttributeError: module"),
    ("tests.toy.adapter", "the SDK 'tests.toy.adapter' is not named as module:ATTRIBUTE (see SESSIONPROOF_SDK)"),
]


@pytest.mark.parametrize(("name", "said"), BROKEN)
def test_an_sdk_that_cannot_be_imported_is_told_and_help_is_given_all_the_same(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(registry.VARIABLE, name)
    for spec in ("model", "clerk-js@6.7.4"):
        with pytest.raises(UnknownName) as told:
            make_target(spec, silent)
        assert str(told.value).startswith(said)
        assert "\n" not in str(told.value)
    assert "clerk-js@VERSION" in forms()


def test_on_the_command_line_that_is_one_line_and_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    name, said = BROKEN[0]
    assert said in complaint(check("--target=model", **{registry.VARIABLE: name}))
    monkeypatch.setenv(registry.VARIABLE, name)
    assert said in complaint(sessionproof("conform", "--target=clerk-js@6.7.4"))
    assert sessionproof("conform", "--help").returncode == 0


# -- what is asked of them ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("clerk-js@6.7.4", "clerk"),
        ("expo@4.6.6", "clerk"),
        ("path:dist/a.js", "clerk"),
        ("clerk-js@", "clerk"),
        ("model", "clerk"),
        ("model@CLERK_JS_6_7_1", "clerk"),
        ("model@FIX_BOTH", "clerk"),
        ("toy@x.cjs", "toy"),
        ("model@CLERK_JS_9", None),
        ("keycloak@1", None),
    ],
)
def test_a_target_belongs_to_one_sdk(spec: str, name: str | None) -> None:
    found = adapter_of(spec)
    assert (found.name if found else None) == name


def test_a_released_policy_has_a_build_and_a_proposed_one_has_none() -> None:
    sdk = built_in()
    builds = [sdk.build_of(name) for name in POLICIES]
    assert builds[0] == "clerk-js@6.0.0"
    assert all(builds)
    assert [sdk.build_of(name) for name in PROPOSED] == [None] * len(PROPOSED)
    for name, build in zip(POLICIES, builds, strict=True):
        assert build is not None
        described = make_target(build, silent).described_by()
        assert described is not None
        assert described.name == f"model@{name}"


def test_what_no_policy_describes_says_so() -> None:
    for spec in ("clerk-js@5.128.0", "path:dist/clerk.native.js"):
        assert make_target(spec, silent).described_by() is None


def test_the_newest_model_is_the_default_and_every_model_describes_itself() -> None:
    target = make_target("model", silent)
    assert target.name == f"model@{newest()}"
    other = as_model(target.described_by())
    assert other is not None
    assert other is not target
    assert other.policy == policy("CLERK_JS_6_40_0")


def test_the_main_job_and_its_files_are_there() -> None:
    sdk = built_in()
    assert {*sdk.checked} <= {*sdk.sdk.policies}
    assert all(sdk.build_of(name) for name in sdk.checked)
    assert sdk.expectations.is_file()
    assert list(sdk.corpus.glob("*.json"))


@pytest.mark.parametrize(
    ("pattern", "covered"),
    [("toy@0.9.0..0.10.0", True), ("toy@0.10.0..1.0.0", False), ("clerk-js@0.9.0..0.10.0", False)],
)
@pytest.mark.usefixtures("toy")
def test_a_range_of_releases_is_in_the_order_of_its_own_sdk(pattern: str, covered: bool) -> None:
    cell = Cell("toy@0.9.1", Runtime.HEADLESS, assuming("calm"))
    assert Finding((pattern,), "calm", (HEADLINE,), ("a timer",)).covers(cell, HEADLINE) is covered


# -- documents ------------------------------------------------------------------------------------------------


class GetToken(OperationStruct, frozen=True):
    """What the toy's app calls in its next version: named as an operation of the built-in SDK's, and another."""

    scope: str

    verb = "getToken"


@pytest.mark.usefixtures("toy")
def test_what_two_sdks_call_alike_is_read_as_the_one_s_whose_target_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TOY_ADAPTER, "sdk", replace(TOY_ADAPTER.sdk, operations=(GetToken("mail"),)))
    calls: dict[str, Event] = {"toy@x.cjs": GetToken("mail"), "model@TOY_1": GetToken("mail")}
    calls |= {"clerk-js@6.7.4": clerks.GetToken("api"), "model": clerks.GetToken("api")}
    for target, call in calls.items():
        trace = Trace(target, Runtime.HEADLESS, assuming("calm"), (call,))
        assert load(trace.save()) == trace
    jsonschema.Draft202012Validator(schema.schema()).validate(trace.document())


# -- the end of several targets -------------------------------------------------------------------------------


class Closing(ModelTarget):
    """A model whose end is noted, and may fail."""

    def __init__(self, name: str, closed: list[str], wrong: bool) -> None:
        super().__init__(CLERK, POLICIES["CLERK_JS_6_7_4"])
        self.name, self._closed, self._wrong = name, closed, wrong

    def close(self) -> None:
        """Raises `TargetError` if it is to."""
        self._closed.append(self.name)
        if self._wrong:
            raise TargetError(f"{self.name} is broken")


def test_one_target_that_ends_badly_leaves_no_other_open() -> None:
    closed: list[str] = []
    targets: list[Target] = [Closing(name, closed, name in "bc") for name in "abcd"]
    with pytest.raises(TargetError, match=r"^b: b is broken$"):
        close_all(targets)
    assert closed == [*"abcd"]
    close_all([model("6.7.4")])


# -- who may import whom --------------------------------------------------------------------------------------


def imported(path: Path) -> set[str]:
    """The modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


TARGETS = ROOT / "properties" / "targets"


def test_what_is_common_to_sdks_imports_neither_an_sdk_nor_an_engine() -> None:
    known = ("properties.targets", "properties.system", "model", "properties.targets.clerk")
    for path in TARGETS.glob("*.py"):
        ours = {name for name in imported(path) if name.startswith(("properties", "model"))}
        assert not [name for name in ours if name.startswith("properties.targets.clerk")], path
        assert all(name.startswith(known) for name in ours), path


def test_an_sdk_imports_what_is_common_and_little_else() -> None:
    others_of = {
        "peer.py": {"properties.run.lengths.menu"},
        "repro.py": {f"properties.invariants.catalogue.{name}" for name in ("INVARIANTS", "MARGIN")},
        "invariants.py": {
            "properties.invariants.catalogue.invariant",
            *(f"properties.invariants.breach.{name}" for name in ("Breach", "OpenRequest")),
        },
    }
    allowed = ("properties.targets", "properties.system", "model")
    for path in (TARGETS / "clerk").glob("*.py"):
        ours = {name for name in imported(path) if name.startswith(("properties", "model"))}
        others = {name for name in ours if not name.startswith(allowed)}
        assert others == others_of.get(path.name, set()), path


def test_nothing_else_names_a_target_of_an_sdk() -> None:
    paths = [path for path in (ROOT / "properties").rglob("*.py") if TARGETS not in path.parents]
    assert len(paths) > 50
    for path in paths:
        assert not [name for name in imported(path) if name.startswith("properties.targets.clerk")], path
