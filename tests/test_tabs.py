"""Tabs: who looks at a page, what another tab tells it, and the channel between them. Frames."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from model.clerk.terms import GetToken
from model.io import (
    Called,
    CallSettled,
    ChannelClosed,
    Started,
    Stimulus,
    TabChanged,
    TokenHeard,
    TurnsChanged,
)
from model.requests import Endpoint, Outcome
from model.step import permits
from model.terms import Runtime, TabState
from model.world.events import (
    Advance,
    Answer,
    CloseChannel,
    Event,
    FreeLock,
    Freeze,
    FreezeKind,
    HearTab,
    HoldLock,
    RestartApp,
    Revoke,
    TurnTo,
)
from model.world.facts import Origin, Sent, Settled, Shown
from model.world.possible import impossible
from properties.invariants.catalogue import INVARIANTS
from properties.run.run import Run
from properties.run.shrink import violates
from properties.search.generate import KINDS, kinds_of
from properties.system.trace import load
from properties.targets.clerk.adapter import CLERK_ADAPTER
from properties.targets.clerk.target import bundle_target
from properties.targets.names import UnknownName, assumed, make_target
from properties.targets.node_target import NodeTarget
from tests.support import FIRST, RELEASES, Idle, app, assuming, fresh, needs_builds, of_kind, ready, run

PAGE, FRAME = Runtime.BROWSER, Runtime.FRAME
_, FIXED, NEWEST = RELEASES
ABOUT_TABS = ("tab-switching", "other-tab", "held-lock", "closed-channel")
FOCUSED, VISIBLE, HIDDEN = TabState.FOCUSED, TabState.VISIBLE, TabState.HIDDEN


# -- what is possible ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runtime", "event", "why"),
    [
        (Runtime.HEADLESS, TurnTo(FOCUSED), "the runtime headless has no tab"),
        (Runtime.BROWSER_LIKE, HearTab(), "the runtime browser-like has no tab"),
        (PAGE, TurnTo(HIDDEN), "the tab is hidden already"),
        (PAGE, TurnTo(FOCUSED), None),
        (FRAME, TurnTo(FOCUSED), "a frame of another site gets no focus before the user clicks into it"),
        (FRAME, TurnTo(VISIBLE), None),
        (PAGE, HearTab(Outcome.BROKEN), "a tab that gets 'broken' has no token to tell of"),
        (PAGE, HearTab(Outcome.STALE_TOKEN), None),
        (PAGE, HoldLock(), None),
        (PAGE, FreeLock(), "another tab does not hold the lock"),
    ],
)
def test_what_a_tab_can_be_told(runtime: Runtime, event: Event, why: str | None) -> None:
    assert impossible(run(Idle(), runtime=runtime).world, event) == why


def test_a_tab_hears_nothing_of_an_ended_session_nor_on_a_closed_channel() -> None:
    for before, why in (
        (Revoke(), "the session has ended: no tab gets a token"),
        (CloseChannel(), "the channel between the tabs is closed"),
    ):
        assert impossible(run(Idle(), before, runtime=PAGE).world, HearTab()) == why


def test_a_restart_opens_the_channel_and_leaves_tab_and_lock_as_they_are() -> None:
    ran = run(Idle(), TurnTo(VISIBLE), HoldLock(), CloseChannel(), RestartApp(), runtime=PAGE)
    page = ran.world.page
    assert (page.tab, page.held, page.channel) == (VISIBLE, True, True)


def test_what_happens_to_tabs_is_drawn_on_pages_alone() -> None:
    tabs = assuming(*ABOUT_TABS)
    on = {one: {kind.name for kind in kinds_of(tabs, app(), one)} for one in Runtime}
    added = on[PAGE] - on[Runtime.HEADLESS]
    assert len(added) == 5
    assert on[FRAME] == on[PAGE] and on[Runtime.BROWSER_LIKE] == on[Runtime.HEADLESS]
    assert {kind.name for kind in KINDS} >= added


# -- what an SDK finds on a page ------------------------------------------------------------------------------

STUB = """
exports.Clerk = class {
  addListener() {}
  async load() {
    this.session = { getToken: this.ask };
    this.seen = [];
    const note = name => () => this.seen.push(`${name} ${document.hasFocus()} ${document.visibilityState}`);
    for (const name of ['focus', 'blur']) window.addEventListener(name, note(name));
    document.addEventListener('visibilitychange', note('change'));
    this.channel = new BroadcastChannel('clerk:session_token');
    this.channel.addEventListener('message', ({ data }) => this.seen.push(data.tokenId));
    Object.assign(globalThis, { sdk: this });
  }
  async ask({ template: program }) {
    throw Object.assign(new Error(), { code: `${await eval(program)}` });
  }
};
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeTarget]:
    """An SDK that notes what a page tells it, and runs whatever it is asked for."""
    path = tmp_path_factory.mktemp("stub") / "stub.js"
    path.write_text(STUB)
    target = bundle_target(path)
    yield target
    target.close()


def seen(
    target: NodeTarget, runtime: Runtime, *stimuli: Stimulus, program: str = "sdk.seen.join()"
) -> str | None:
    """What a program gives after these stimuli."""
    fresh(target, runtime)
    for stimulus in stimuli:
        target.feed(stimulus, 0)
    (settled,) = target.feed(Called(1, GetToken(program)), 0)
    assert isinstance(settled, CallSettled)
    return settled.error


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ((), ""),
        ((FOCUSED,), "change true visible,focus true visible"),
        ((VISIBLE,), "change false visible"),
        ((VISIBLE, FOCUSED), "change false visible,focus true visible"),
        ((FOCUSED, VISIBLE), "change true visible,focus true visible,blur false visible"),
        ((VISIBLE, HIDDEN), "change false visible,change false hidden"),
        (
            (FOCUSED, HIDDEN),
            "change true visible,focus true visible,blur false hidden,change false hidden",
        ),
    ],
)
def test_a_document_says_who_looks_at_it(stub: NodeTarget, states: tuple[TabState, ...], told: str) -> None:
    assert seen(stub, PAGE, *map(TabChanged, states)) == told


def test_a_new_page_in_the_same_tab_is_looked_at_as_the_old_one_was(stub: NodeTarget) -> None:
    target = fresh(stub, PAGE)
    target.feed(TabChanged(FOCUSED), 0)
    target.feed(Started(1), 0)
    (settled,) = target.feed(Called(2, GetToken("document.hasFocus()")), 0)
    assert settled == CallSettled(2, None, "true")


def test_a_frame_cannot_look_at_the_page_around_it(stub: NodeTarget) -> None:
    program = "try { top.location.href } catch (error) { `${error.name} ${top === window}` }"
    assert seen(stub, FRAME, program=program) == "SecurityError false"
    assert seen(stub, PAGE, program="top === window") == "true"


@pytest.mark.parametrize(("closed", "told"), [((), "sess_1"), ((ChannelClosed(),), "")])
def test_another_tab_is_heard_until_the_channel_is_closed(
    stub: NodeTarget, closed: tuple[Stimulus, ...], told: str
) -> None:
    assert seen(stub, PAGE, *closed, TokenHeard(FIRST)) == told


def test_to_post_on_a_closed_channel_throws(stub: NodeTarget) -> None:
    program = "try { sdk.channel.postMessage({}) } catch (error) { error.name }"
    assert seen(stub, PAGE, program=program) == "undefined"
    assert seen(stub, PAGE, ChannelClosed(), program=program) == "InvalidStateError"


def test_a_lock_that_another_tab_holds_is_waited_for(stub: NodeTarget) -> None:
    asks = "sdk.got = 'waits'; navigator.locks.request('x', () => (sdk.got = 'has it')); null"
    for restarted in (False, True):
        target = fresh(stub, PAGE)
        target.feed(TurnsChanged(held=True), 0)
        if restarted:
            target.feed(Started(9), 0)
        target.feed(Called(1, GetToken(asks)), 0)
        assert target.feed(Called(2, GetToken("sdk.got")), 0) == (CallSettled(2, None, "waits"),)
        target.feed(TurnsChanged(held=False), 0)
        assert target.feed(Called(3, GetToken("sdk.got")), 0) == (CallSettled(3, None, "has it"),)


def test_another_tab_gets_a_lock_when_the_page_has_done_with_it(stub: NodeTarget) -> None:
    target = fresh(stub, PAGE)
    holds = "navigator.locks.request('x', () => new Promise(done => (sdk.done = done))); null"
    asks = "sdk.got = 'waits'; navigator.locks.request('x', () => (sdk.got = 'has it')); null"
    target.feed(Called(1, GetToken(holds)), 0)
    target.feed(TurnsChanged(held=True), 0)
    target.feed(Called(2, GetToken(asks)), 0)
    target.feed(Called(3, GetToken("sdk.done()")), 0)
    assert target.feed(Called(4, GetToken("sdk.got")), 0) == (CallSettled(4, None, "waits"),)
    target.feed(TurnsChanged(held=False), 0)
    assert target.feed(Called(5, GetToken("sdk.got")), 0) == (CallSettled(5, None, "has it"),)


# -- what real builds do --------------------------------------------------------------------------------------


def on_page(builds: dict[str, NodeTarget], release: str, *events: Event, runtime: Runtime = PAGE) -> Run:
    """These events on the page of a release."""
    return run(ready(builds[release], runtime), *events, runtime=runtime)


@pytest.mark.parametrize("release", [FIXED, NEWEST])
def test_a_tab_that_gets_the_focus_touches_the_session(builds: dict[str, NodeTarget], release: str) -> None:
    (sent,) = of_kind(Sent, on_page(builds, release, TurnTo(FOCUSED)).facts)
    assert (sent.endpoint, sent.origin) == (Endpoint.MUTATE, Origin.BACKGROUND)


@pytest.mark.parametrize("state", TabState)
def test_the_newest_release_says_who_looks_at_the_tab(builds: dict[str, NodeTarget], state: TabState) -> None:
    turned = () if state is HIDDEN else (TurnTo(state),)
    for release, said in ((FIXED, None), (NEWEST, state)):
        ran = on_page(builds, release, *turned, GetToken(skip_cache=True))
        assert [sent.tab for sent in of_kind(Sent, ran.facts) if sent.endpoint is Endpoint.MINT] == [said]


def test_a_tab_in_front_polls_every_1_5_s_which_is_no_one_shot_timer(builds: dict[str, NodeTarget]) -> None:
    elsewhere = on_page(builds, NEWEST, Advance(10_000)).world
    in_front = on_page(builds, NEWEST, TurnTo(FOCUSED), Answer(1, Outcome.SESSION), Advance(10_000)).world
    polls = {timer.planned - timer.set_at for timer in in_front.timers} - {
        timer.planned - timer.set_at for timer in in_front.one_shot_timers
    }
    assert polls == {1_500}
    assert {timer.planned - timer.set_at for timer in elsewhere.timers} >= {5_000}


def test_a_token_from_another_tab_is_given_and_shown(builds: dict[str, NodeTarget]) -> None:
    ran = on_page(builds, NEWEST, Advance(20_000), HearTab(), GetToken())
    (settled,), (shown,) = of_kind(Settled, ran.facts), of_kind(Shown, ran.facts)
    assert settled.token == shown.token == ran.world.page.heard
    assert settled.token is not None and settled.token.issued == 20


def test_on_a_page_that_is_looked_at_again_the_cookie_is_fresh_after_one_answer(
    builds: dict[str, NodeTarget],
) -> None:
    for runtime in (PAGE, FRAME):
        events = (Freeze(120_000, FreezeKind.ASLEEP), TurnTo(VISIBLE), Answer(1, Outcome.GRANTED))
        page = on_page(builds, NEWEST, *events, runtime=runtime).world.page
        assert page.shown is not None and page.shown.issued == 120


# -- the findings ---------------------------------------------------------------------------------------------

FINDINGS = {
    "hidden-tab-6.25.7": "6.25.9",
    "hidden-tab-template-6.40.0": None,
    "stale-on-return-6.20.0": "6.21.1",
    "older-by-another-tab-6.10.1": "6.11.0",
    "closed-channel-6.21.1": "6.22.0",
    "held-lock-6.40.0": None,
    "kept-beside-6.25.13": "6.26.0",
    "unshown-refresh-6.40.0": None,
}
"""Each with the release that mended it."""


def built(spec: str) -> NodeTarget:
    """A release of @clerk/clerk-js, in an app of its setup."""
    target = make_target(spec, print)
    assert isinstance(target, NodeTarget)
    return target


@pytest.mark.parametrize("name", FINDINGS)
def test_a_finding_is_that_of_its_release_and_not_of_the_next(name: str) -> None:
    needs_builds()
    trace = load(CLERK_ADAPTER.corpus / f"{name}.json")
    assert trace.invariant is not None
    release, later = name.rpartition("-")[2], FINDINGS[name]
    for other, broken in ((release, True), *([(later, False)] if later else [])):
        target = built(trace.target.replace(release, other))
        try:
            assert bool(violates(trace, ready(target, trace.runtime), INVARIANTS[trace.invariant])) is broken
        finally:
            target.close()


@pytest.mark.parametrize(
    ("name", "also"),
    [
        ("hidden-tab-6.25.7", ()),
        ("hidden-tab-template-6.40.0", ()),
        ("stale-on-return-6.20.0", ()),
        ("older-by-another-tab-6.10.1", ("given-tokens-never-go-backwards",)),
        ("closed-channel-6.21.1", ("one-refresh-at-a-time", "hidden-tab-says-so")),
        ("held-lock-6.40.0", ()),
        ("kept-beside-6.25.13", ()),
        ("unshown-refresh-6.40.0", ()),
    ],
)
def test_a_finding_breaks_its_invariant_and_those_that_it_implies(name: str, also: tuple[str, ...]) -> None:
    needs_builds()
    trace = load(CLERK_ADAPTER.corpus / f"{name}.json")
    target = ready(built(trace.target), trace.runtime)
    try:
        broken = {one.id for one in INVARIANTS.values() if not one.reference and violates(trace, target, one)}
    finally:
        target.close()
    assert broken == {trace.invariant, *also}


def test_every_assumption_about_tabs_is_one_of_a_page() -> None:
    for name in ABOUT_TABS:
        events = assuming(name).events
        for runtime in Runtime:
            system = run(Idle(), runtime=runtime).system
            some = any(permits(system, assuming(name), one) for one in events)
            assert some == runtime.is_page


def test_an_assumption_about_tabs_is_refused_where_there_is_none() -> None:
    with pytest.raises(UnknownName) as refused:
        assumed(["calm", "other-tab"], Runtime.HEADLESS)
    assert str(refused.value) == (
        "'other-tab' says nothing on the runtime headless: add --runtime browser or --runtime frame"
    )
    assert assumed(["other-tab"], FRAME) == assuming("other-tab")
