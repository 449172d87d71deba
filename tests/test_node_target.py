"""Any SDK's build behind the driver: a toy of a few lines, of which nothing in properties/ knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from model.io import (
    Called,
    CallSettled,
    LockChanged,
    Replied,
    RequestSent,
    SignedIn,
    SignedOut,
    Started,
    TimerCleared,
    TimerDue,
    TimerSet,
    TokenAnnounced,
)
from model.operations import OperationStruct
from model.requests import Endpoint, Outcome
from model.step import first_token
from model.terms import Runtime, Token, TokenId, TokenIdStruct
from model.world.events import Advance, Answer
from properties.system.target import TargetError
from properties.targets.node import DRIVER
from properties.targets.node_target import NodeTarget
from properties.targets.server import HttpRequest
from tests.support import ROOT, fresh, run
from tests.toy.adapter import HERE, TOY_ADAPTER, ToyServer
from tests.toy.sdk import TOY, FetchToken

BUILD = f"toy@{HERE / 'bundle.cjs'}"
FIRST = first_token(TOY, Runtime.HEADLESS)
LATER = Token(2, TokenIdStruct(), 50, 110)


@pytest.fixture(scope="module")
def shared() -> Iterator[NodeTarget]:
    """The toy."""
    made = TOY_ADAPTER.target(BUILD, lambda line: None)
    assert made is not None
    yield made
    made.close()


@pytest.fixture
def toy(shared: NodeTarget) -> NodeTarget:
    """The toy, signed in."""
    return fresh(shared)


def sent(request: int, cause: int | None = None) -> RequestSent:
    """A request of the toy; whether it carries the device's credential is not for the toy to say."""
    return RequestSent(request, Endpoint.MINT, TokenIdStruct(), cause, credential=None)


# -- the toy --------------------------------------------------------------------------------------------------


def test_a_toy_is_signed_in_and_arms_its_one_timer(toy: NodeTarget) -> None:
    assert toy.start(Runtime.HEADLESS, FIRST) == (TimerSet(1, 50_000, None),)


def test_its_timer_renews_the_token_in_the_background(toy: NodeTarget) -> None:
    assert toy.feed(TimerDue(1), 50_000) == (sent(1),)
    assert toy.feed(Replied(1, Outcome.GRANTED, LATER), 50_100) == (
        TimerSet(2, 100_000, None),
        TokenAnnounced(LATER, FIRST),
    )


def test_a_call_settles_with_the_token_at_hand_or_waits_for_a_new_one(toy: NodeTarget) -> None:
    assert toy.feed(Called(1, FetchToken()), 59_999) == (CallSettled(1, FIRST, None),)
    assert toy.feed(Called(2, FetchToken()), 60_000) == (sent(1, cause=2),)
    assert toy.feed(Replied(1, Outcome.GRANTED, LATER), 60_100) == (
        TimerCleared(1),
        TimerSet(2, 100_000, 2),
        CallSettled(2, LATER, None),
        TokenAnnounced(LATER, FIRST),
    )


@pytest.mark.parametrize(
    ("outcome", "error"), [(Outcome.BROKEN, "api-500"), (Outcome.LOST, "Network request failed")]
)
def test_a_failure_ends_the_call_with_the_name_that_the_glue_gives_it(
    toy: NodeTarget, outcome: Outcome, error: str
) -> None:
    toy.feed(Called(1, FetchToken()), 60_000)
    assert toy.feed(Replied(1, outcome), 60_000) == (CallSettled(1, None, error),)


def test_a_refusal_signs_out(toy: NodeTarget) -> None:
    toy.feed(TimerDue(1), 50_000)
    assert toy.feed(Replied(1, Outcome.UNAUTHORIZED), 50_000) == (SignedOut(None),)


def test_it_starts_anew_with_a_session_or_without(toy: NodeTarget) -> None:
    load, announced = RequestSent(1, Endpoint.MINT, TokenIdStruct(), 7), TokenAnnounced(LATER, None)
    assert toy.feed(Started(7), 50_000) == (load,)
    ends = (SignedIn(7), CallSettled(7, None, None), announced)
    assert toy.feed(Replied(1, Outcome.GRANTED, LATER), 50_000) == (TimerSet(2, 100_000, 7), *ends)
    assert toy.feed(Started(8), 51_000) == (replace(load, request=2, cause=8),)
    assert toy.feed(Replied(2, Outcome.UNAUTHORIZED), 51_000) == (SignedOut(8), CallSettled(8, None, None))


def test_it_lives_in_the_same_world_as_every_other_target(shared: NodeTarget) -> None:
    ran = run(shared, Advance(50_000), Answer(1, Outcome.GRANTED), Advance(20_000), FetchToken())
    assert ran.world.token.number == 2
    assert not ran.world.calls


def test_a_target_says_which_model_describes_it_if_one_does(toy: NodeTarget, tmp_path: Path) -> None:
    described = toy.described_by()
    assert described is not None
    assert described.name == "model@TOY_1"
    assert described.sdk is TOY
    assert made(tmp_path, ToyServer(), "return null").described_by() is None


# -- what crosses the boundary --------------------------------------------------------------------------------


def test_a_client_that_handles_no_credential_never_says_that_one_is_missing(toy: NodeTarget) -> None:
    """The world then says what a locked keychain does to its requests (`RequestSent.credential`)."""
    assert toy.feed(LockChanged(True), 0) == ()
    (request,) = toy.feed(TimerDue(1), 50_000)
    assert isinstance(request, RequestSent)
    assert request.credential is None


class Recorder(ToyServer):
    """The toy's server, which notes what it is asked."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.verified: list[Token] = []

    def endpoint_of(self, request: HttpRequest) -> tuple[Endpoint, TokenId] | None:
        """Whatever it is, it is for a token."""
        self.requests.append(request)
        return Endpoint.MINT, TokenIdStruct()

    def verify(self, handed: object) -> list[str | None]:
        """All of them are valid."""
        assert isinstance(handed, list)
        self.verified += [token for token, _ in handed]
        return [None] * len(handed)


def made(folder: Path, server: ToyServer, fetch_token: str) -> NodeTarget:
    """A toy whose operation does something else."""
    path = folder / "bundle.cjs"
    source = (HERE / "bundle.cjs").read_text()
    path.write_text(f"{source}\nexports.Toy.prototype.fetchToken = async function () {{ {fetch_token} }};")
    return NodeTarget("toy", TOY, HERE / "glue.mjs", server, lambda runtime: path)


@pytest.mark.parametrize(
    ("init", "headers", "body"),
    [
        ("", {}, None),
        (", { credentials: 'include' }", {}, None),
        (", { headers: { 'X-Odd': 'Yes' }, body: 'a=1&b=' }", {"x-odd": "Yes"}, "a=1&b="),
        (
            ", { headers: new Headers([['A', '1']]), body: new URLSearchParams({ c: 'd e' }) }",
            {"a": "1"},
            "c=d+e",
        ),
        (", { headers: [['A', '1'], ['a', '2']], body: new Blob(['x']) }", {"a": "1, 2"}, None),
    ],
)
def test_a_request_is_reported_as_it_was_sent(
    tmp_path: Path, init: str, headers: dict[str, str], body: str | None
) -> None:
    server = Recorder()
    target = fresh(made(tmp_path, server, f"return fetch('https://toy.test/a/b?c=d&e='{init})"))
    target.feed(Called(1, FetchToken()), 0)
    target.close()
    credentials = "include" if "include" in init else "same-origin"
    assert server.requests == [HttpRequest("GET", "/a/b", {"c": "d", "e": ""}, headers, body, credentials)]


@pytest.mark.parametrize("nothing", ["null", "undefined", "''", "{}"])
def test_a_call_that_was_to_give_a_token_and_gave_none_has_failed(tmp_path: Path, nothing: str) -> None:
    target = fresh(made(tmp_path, ToyServer(), f"return {nothing}"))
    assert target.feed(Called(1, FetchToken()), 0) == (CallSettled(1, None, "null"),)
    target.close()


def test_what_any_other_call_ends_with_is_nobodys(tmp_path: Path) -> None:
    class Warm(FetchToken, frozen=True):
        """The same function, called for what it does."""

        gives_token = False

    target = fresh(made(tmp_path, ToyServer(), "return 'some text'"))
    assert target.feed(Called(1, Warm()), 0) == (CallSettled(1, None, None),)
    target.close()


@pytest.mark.parametrize("name", ["refetch", "toString"])
def test_an_operation_that_the_glue_does_not_know_is_told_in_one_line(toy: NodeTarget, name: str) -> None:
    class Unknown(OperationStruct, frozen=True):
        """What no toy can do."""

        verb = name

    with pytest.raises(TargetError, match=rf"^the SDK has no operation '{name}'$"):
        toy.feed(Called(1, Unknown()), 0)


def test_the_fields_of_an_operation_are_its_arguments(tmp_path: Path) -> None:
    class Scoped(FetchToken, frozen=True):
        """A token for less."""

        scope: str
        max_age: int | None = None

    glue = tmp_path / "glue.mjs"
    source = (HERE / "glue.mjs").read_text()
    glue.write_text(source.replace("fetchToken: ()", "fetchToken: given").replace("fetchToken()", "said(given)"))
    bundle = tmp_path / "bundle.cjs"
    says = "exports.Toy.prototype.said = async given => { throw new Error(JSON.stringify(given)) };"
    bundle.write_text(f"{(HERE / 'bundle.cjs').read_text()}\n{says}")
    target = fresh(NodeTarget("toy", TOY, glue, ToyServer(), lambda runtime: bundle))
    (settled,) = target.feed(Called(1, Scoped("mail")), 0)
    assert settled == CallSettled(1, None, '{"scope":"mail","max_age":null}')
    target.close()


def test_every_token_that_was_handed_out_is_verified_and_each_only_once(tmp_path: Path) -> None:
    servers = [Recorder(), Recorder()]
    for server in servers:
        target = fresh(made(tmp_path, server, "return this.token"))
        target.feed(Called(1, FetchToken()), 7_000)
        target.feed(Called(2, FetchToken()), 7_500)
        target.close()
    assert [server.verified for server in servers] == [[FIRST], []]


GLUE = """
import {{ DriverError }} from '{errors}';
export const environment = () => ({{}});
export const errorName = error => error.message;
export const create = () => ({{
  async load() {{}},
  signedIn: () => true,
  operations: {{ fetchToken: {asynchronous} () => {{ throw new DriverError('out of order'); }} }},
}});
"""


@pytest.mark.parametrize("asynchronous", ["", "async"])
def test_what_a_glue_says_is_wrong_is_no_answer_of_the_sdk(tmp_path: Path, asynchronous: str) -> None:
    glue = tmp_path / "glue.mjs"
    glue.write_text(GLUE.format(errors=(DRIVER / "errors.mjs").as_uri(), asynchronous=asynchronous))
    target = fresh(NodeTarget("toy", TOY, glue, ToyServer(), lambda runtime: HERE / "bundle.cjs"))
    with pytest.raises(TargetError, match=r"^out of order$"):
        target.feed(Called(1, FetchToken()), 0)
    target.close()


# -- the driver -----------------------------------------------------------------------------------------------


def test_no_two_modules_of_the_driver_import_each_other() -> None:
    modules = (ROOT / "properties" / "targets" / "driver").glob("*.mjs")
    needs = {path.name: set(re.findall(r"from '\./(\S+)'", path.read_text())) for path in modules}
    while leaves := {name for name, others in needs.items() if not others & needs.keys()}:
        needs = {name: others for name, others in needs.items() if name not in leaves}
    assert needs == {}
