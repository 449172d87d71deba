"""The catalogue of invariants. Each is one function of a step that returns None, or the breach.

An invariant reads facts, the world and the monitor's history of calls, never a target's internals: only so can it
judge a real SDK. Its docstring is the sentence that reports print. The catalogue applies to every SDK. An adapter
registers the invariants of its own SDK (`properties/targets/<sdk>/invariants.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from msgspec.structs import replace

from model.assumptions.sets import Assumptions
from model.operations import API_ERROR_PREFIX, NULL_ERROR, OFFLINE_ERROR
from model.requests import Endpoint, Outcome
from model.step import Step
from model.terms import Runtime, Seconds, Token, TokenId
from model.world.facts import (
    Announced,
    Answered,
    Loaded,
    Origin,
    Restarted,
    Sent,
    SessionDropped,
    SessionEntered,
    Settled,
    TimerFired,
    Uncaught,
)
from model.world.state import Request, System, World
from properties.invariants.breach import Breach, Choice, GivenToken, KnownToken, OpenRequest, Renewal, WaitingCall
from properties.invariants.invariant import Catalogue, Invariant
from properties.system.trace import Trace
from properties.system.wording import duration, kind_of_token

INVARIANTS = Catalogue()
"""Every invariant by id. The first is the one that this project was made for."""

DEFAULT_INVARIANTS = INVARIANTS.default
"""The ids of the invariants that are checked on every runtime. The others apply to one runtime only."""

MARGIN = "token-outlives-margin"

invariant = INVARIANTS.register


def default_invariants(runtime: Runtime) -> list[str]:
    """The ids of the invariants that are checked on `runtime` by default: `DEFAULT_INVARIANTS`, and those that
    apply to some runtimes only, if to this one, and need no reference client."""
    return [
        name
        for name, one in INVARIANTS.items()
        if name in DEFAULT_INVARIANTS or (one.some and runtime in one.runtimes and one.reference is None)
    ]


def breach_of(trace: Trace, played: Sequence[Step]) -> Breach | None:
    """The breach of the trace's invariant in the last step of `played`. None if the trace names no invariant, or
    one that is not in the catalogue."""
    one = INVARIANTS.get(trace.invariant or "")
    return one.check(played[-1]) if one and played else None


@invariant("background-never-destroys-valid-session", Runtime.HEADLESS, timeless=True)
def background_never_destroys_valid_session(step: Step) -> Breach | None:
    """A headless runtime never drops a session that is valid on the server because of something a background
    timer began."""
    for fact in step.facts:
        if isinstance(fact, SessionDropped) and fact.valid and fact.origin is Origin.BACKGROUND:
            why = "the user is signed out by the background, while the server still holds the session valid"
            return Breach(why, fact)
    return None


@invariant("valid-session-survives", timeless=True)
def valid_session_survives(step: Step) -> Breach | None:
    """Nothing the client does, in the foreground or the background, drops a session that is valid on the
    server."""
    for fact in step.facts:
        if isinstance(fact, SessionDropped) and fact.valid:
            return Breach("the user is signed out, while the server still holds the session valid", fact)
    return None


@invariant("revoked-session-signs-out", history=True, timeless=True)
def revoked_session_signs_out(step: Step) -> Breach | None:
    """Once the server has ended the session, the next foreground call that reaches the server signs the user
    out."""
    for fact in step.facts:
        if isinstance(fact, Settled) and fact.told_ended and step.after.signed_in:
            told = f"call {fact.call} was told truthfully that the session has ended; the user stays signed in"
            return Breach(told, fact)
    return None


@invariant("foreground-recovers", history=True, recovers=True)
def foreground_recovers(step: Step) -> Breach | None:
    """After a skipped, failed or frozen refresh, the next foreground call in a healthy world succeeds, with a
    token if it asks for one."""
    for fact in step.facts:
        if isinstance(fact, Settled) and fact.healthy and fact.error:
            why = f"call {fact.call} ends with '{fact.error}', although nothing went wrong since it was made"
            return Breach(why, fact)
    world = step.after
    for call in step.end.monitor.calls:
        waited = world.now - call.asked_at
        if call.healthy and waited > world.timings.patience and not world.requests:
            why = f"call {call.call} still waits after {waited} ms, although nothing it could wait for is left"
            return Breach(why, about=(WaitingCall(call.call),))
    return None


@invariant("start-recovers", history=True, timeless=True)
def start_recovers(step: Step) -> Breach | None:
    """Whatever went wrong before, a load() that is answered truthfully ends well, and with the session while the
    server holds it."""
    for fact in step.facts:
        if isinstance(fact, Loaded) and fact.due and (fact.error or not fact.signed_in):
            how = f"ends with '{fact.error}'" if fact.error else "ends without the session"
            return Breach(f"load() (call {fact.call}) {how}, though every answer since it began was true", fact)
    return None


def _each_has_something_under_way(system: System, assumptions: Assumptions) -> bool:
    """Each call has a request or a timer of its own. If no request may take longer than the network's patience,
    any request will do: while one is younger than that, every call is excused, and after a freeze no time passes
    before an older one is answered."""
    world = system.world
    may_hang = assumptions.may_hang or assumptions.may_hang_until_loaded or assumptions.may_delay
    if world.requests and not may_hang:
        return True
    causes = {request.cause for request in world.requests} | {timer.cause for timer in world.timers}
    return all(call.call in causes and not call.loads for call in world.calls)


@invariant("every-call-settles", waits=True, stronger=_each_has_something_under_way)
def every_call_settles(step: Step) -> Breach | None:
    """A call settles within the network's patience, unless a request of its own is in flight or a retry is
    pending. A hanging request of another call does not block it. To load() its own is no excuse, either: an app
    that waits for it shows nothing."""
    world, patience = step.after, step.after.timings.patience
    if any(world.now - one.sent_at <= patience for one in world.requests):
        return None
    pending, loads = {call.call for call in world.calls}, {call.call for call in world.calls if call.loads}
    for timer in world.timers:  # those of a token that came while it loads are no retry
        if timer.cause in pending and (timer.cause not in loads or timer.due - world.now <= patience):
            return None  # a retry is to come
    asking = {one.cause for one in world.requests}
    for call in step.end.monitor.calls:
        if call.call not in asking - loads and world.now - call.awake_since > patience:
            what = "only a hanging request" if call.call in asking else "nothing"
            why = (
                f"call {call.call} has waited for more than {duration(patience)}, and {what} is under way for it"
            )
            hanging = (OpenRequest(one.request) for one in world.requests)
            return Breach(why, about=(*hanging, WaitingCall(call.call)))
    return None


@invariant("token-handed-out-is-valid")
def token_handed_out_is_valid(step: Step) -> Breach | None:
    """A token that a call returns is the one that it asked for, and a server accepts it at that instant of server
    time."""
    for fact in step.facts:
        if not isinstance(fact, Settled) or fact.token is None:
            continue
        if fact.token.token_id.of(fact.token_id.session) != fact.token_id:
            asked, got = kind_of_token(fact.token_id), kind_of_token(fact.token.token_id)
            return Breach(f"call {fact.call} asked for {asked} and got {got}", fact, (Choice(fact.token),))
        if not fact.token.issued * 1000 <= fact.at < fact.token.expires * 1000:
            return Breach(f"call {fact.call} got {fact.token}, which had expired by then", fact)
    return None


@invariant(MARGIN, default=False)
def token_outlives_margin(step: Step) -> Breach | None:
    """A token that a call returns lives for at least a margin from then on: what the SDK itself takes for the
    least, or the seconds at the end of the invariant's name."""
    return _too_short(step, step.after.timings.cutoff)


def _outliving(name: str, margin: Seconds) -> Invariant:
    """The invariant for a margin."""
    sentence = f"A token that a call returns lives for at least {margin} s from then on."
    return replace(INVARIANTS[MARGIN], id=name, sentence=sentence, check=partial(_too_short, margin=margin))


INVARIANTS.family(MARGIN, _outliving)


def _too_short(step: Step, margin: Seconds) -> Breach | None:
    for fact in step.facts:
        if isinstance(fact, Settled) and fact.token and fact.token.expires * 1000 < fact.at + margin * 1000:
            return Breach(
                f"call {fact.call} got {fact.token}, which lives for less than {margin} s from then on", fact
            )
    return None


@invariant("tokens-never-go-backwards", timeless=True)
def tokens_never_go_backwards(step: Step) -> Breach | None:
    """The last active token of a session is never replaced by one that was made from older data."""
    for fact in step.facts:
        if isinstance(fact, Announced) and fact.backwards:
            place = f"takes the place of {fact.before} as the last active token"
            return Breach(f"{fact.token}, made from older data, {place}", fact, (Choice(fact.token),))
    return None


@invariant("given-tokens-never-go-backwards", ages=True)
def given_tokens_never_go_backwards(step: Step) -> Breach | None:
    """A call never returns a token that was made from older data than one that an earlier call has returned."""
    for fact in step.facts:
        if isinstance(fact, Settled) and fact.token and fact.fresher:
            why = f"call {fact.call} got {fact.token}, made from older data than {fact.fresher}"
            about = (GivenToken(fact.fresher), Choice(fact.fresher))
            return Breach(f"{why}, which a call before had got", fact, about)
    return None


@invariant("no-token-of-another-user", timeless=True)
def no_token_of_another_user(step: Step) -> Breach | None:
    """No call returns a token of another user, and none becomes the last active token."""
    user = step.before.session.user
    for fact in step.facts:
        match fact:
            case SessionEntered():
                user = fact.session.user
            case Settled() if fact.token and fact.token.session.user != fact.token_id.session.user:
                return Breach(f"call {fact.call} got {fact.token}, which is another user's", fact)
            case Announced() if fact.token.session.user != user:
                return Breach(f"{fact.token}, the last active token now, is another user's", fact)
    return None


@invariant("left-session-stays-left", timeless=True)
def left_session_stays_left(step: Step) -> Breach | None:
    """Once the app has signed out, no call returns a token of a session that it has left, and no request is sent
    for one."""
    for fact in step.facts:
        match fact:
            case Settled() if fact.left:
                return Breach(f"call {fact.call} got {fact.token}, of a session that the app has left", fact)
            case Sent() if fact.left:
                return Breach(f"request {fact.request} is sent for a session that the app has left", fact)
    return None


@invariant("nothing-uncaught", timeless=True)
def nothing_uncaught(step: Step) -> Breach | None:
    """The client throws no error, and rejects no promise, that nobody catches."""
    for fact in step.facts:
        if isinstance(fact, Uncaught):
            return Breach("an error is thrown that nobody catches", fact)
    return None


@invariant("offline-is-not-signed-out", timeless=True)
def offline_is_not_signed_out(step: Step) -> Breach | None:
    """While the session is valid, no call returns null, which would mean that no user is signed in. On a device
    that is offline, a call fails with the offline error, unless the server has refused it before. Being offline
    never signs the user out."""
    offline = step.after.offline
    for fact in step.facts:
        if isinstance(fact, Settled) and fact.error == NULL_ERROR and step.after.signed_in and step.after.valid:
            return Breach(f"call {fact.call} is answered with null, as if nobody were signed in", fact)
        if offline and isinstance(fact, Settled) and fact.error and not _tells_why(fact.error):
            why = f"call {fact.call} ends with '{fact.error}', which does not say that the device is offline"
            return Breach(why, fact)
        if offline and isinstance(fact, SessionDropped) and fact.valid:
            return Breach("the user is signed out on a device that is offline, while the session is valid", fact)
    return None


def _tells_why(error: str) -> bool:
    """Does this error name explain why a call failed on an offline device? The server may have refused it
    before."""
    return error == OFFLINE_ERROR or error.startswith(API_ERROR_PREFIX)


@invariant("no-request-storm", timeless=True)
def no_request_storm(step: Step) -> Breach | None:
    """An answer to the request for the sessions never makes the client repeat that request at the same instant.
    Otherwise a server that keeps giving this answer gets requests without end."""
    told: Answered | None = None
    page = step.after.runtime.is_page
    changes = any(call.changes_session for call in step.before.calls)
    for fact in step.facts:
        match fact:
            case Answered(endpoint=Endpoint.INTROSPECT, outcome=Outcome.SESSION) if page or changes:
                told = None  # a page, or a call that changes the session, asks once more and then stops
            case Answered(endpoint=Endpoint.INTROSPECT):
                told = fact
            case TimerFired():
                told = None
            case Sent(endpoint=Endpoint.INTROSPECT) if told:
                answer = f"request {told.request} is answered: {told.outcome}"
                return Breach(f"{answer}; and request {fact.request} asks again in the same instant", fact)
    return None


@invariant("refresh-chain-survives", history=True)
def refresh_chain_survives(step: Step) -> Breach | None:
    """Whenever a call has returned a token of the app's session, its renewal is under way: a timer that may be
    for it is due before it expires, or a request for one of its kind is in flight that is not overdue."""
    world = step.after
    for place, fact in enumerate(step.facts):
        if not isinstance(fact, Settled) or fact.token is None or fact.token.session != world.session:
            continue
        patience, kind = world.timings.patience, _kind(world, fact.token.token_id)
        meant = [one for one in world.timers if one.token_id is None or _kind(world, one.token_id) == kind]
        coming = any(timer.due < fact.token.expires * 1000 for timer in meant)
        renewing = [one for one in world.requests if _renews(world, one) == kind]
        asking = any(world.now - one.sent_at <= patience for one in renewing)
        later = [one for one in step.facts[place:] if isinstance(one, Sent) and _renews(world, one) == kind]
        asked = any(one.at < fact.token.expires * 1000 for one in later)
        if not coming and not asking and not asked:
            why = f"call {fact.call} got {fact.token}, and nothing is under way that could renew it"
            overdue = (OpenRequest(one.request) for one in renewing)
            return Breach(why, fact, (Renewal(fact.token), *overdue))
    return None


@invariant("one-refresh-at-a-time", newest=True)
def one_refresh_at_a_time(step: Step) -> Breach | None:
    """The background requests a token of each kind at most once in the lifetime of each: not while such a request
    is in flight, and not before a third of the newest one's lifetime has passed. Checked until another token
    becomes the session's own."""
    world = step.before
    sends_something = any(isinstance(fact, Sent) and fact.origin is Origin.BACKGROUND for fact in step.facts)
    if not sends_something or _switched(world):
        return None
    early = {sent.request: token for sent, token in early_renewals(step)}
    background = (one for one in world.requests if world.origin(one.cause) is Origin.BACKGROUND)
    asking = {one.request: kind for one in background if (kind := _renews(world, one))}
    for fact in step.facts:
        match fact:
            case Answered(request=request):
                asking.pop(request, None)
            case Restarted():
                asking = {}  # what was in flight ended with the process
            case Sent(origin=Origin.BACKGROUND) if kind := _renews(world, fact):
                sends = f"the background sends request {fact.request}"
                if waiting := [one for one, its in asking.items() if its == kind]:
                    why = f"{sends} while it waits for request {waiting[0]}"
                    return Breach(why, fact, (OpenRequest(waiting[0]), Choice(world.token)))
                if token := early.get(fact.request):
                    why = f"{sends}, with most of the life of {token} to go"
                    return Breach(why, fact, (KnownToken(token), Choice(token)))
                asking[fact.request] = kind
    return None


def early_renewals(step: Step) -> Iterator[tuple[Sent, Token]]:
    """The requests of the background for a token of the app's session before a third of the lifetime of the
    newest of its kind is over, each with that token. None once another token has become the session's own."""
    world = step.before
    if _switched(world):
        return
    newest = {_kind(world, one.token_id): one for one in (world.token, *step.start.monitor.newest)}
    for fact in step.facts:
        match fact:
            case Answered(token=Token() as token):
                newest[_kind(world, token.token_id)] = token
            case Restarted():
                newest = {}  # they ended with the process
            case Sent(origin=Origin.BACKGROUND) if kind := _renews(world, fact):
                known = newest.get(kind)
                if known and fact.at < known.expires * 1000 - world.timings.lifetime * 2000 // 3:
                    yield fact, known


def _switched(world: World) -> bool:
    """Has another token become the session's own? A slot that was filled before is refreshed for that then, on
    every release."""
    return any(map(str, world.server.session_tokens))


def _renews(world: World, request: Sent | Request) -> TokenId | None:
    """The kind of token of the app's session that a request is for, if it is for one."""
    ours = request.endpoint is Endpoint.MINT and request.token_id.session == world.session
    return _kind(world, request.token_id) if ours else None


def _kind(world: World, token_id: TokenId) -> TokenId:
    """The kind of a token. The session's own are of one kind, of which there are several while the app has chosen
    another and the server has not been told."""
    return world.session_tokens[0] if world.is_session_token(token_id) else token_id
