"""What must hold. Each invariant is one function of a step: None, or the reason why the step breaks it.

An invariant sees facts and the world, never a target's internals: else it could not judge a real SDK. Its
docstring is the sentence that reports print.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from model.clerk.policy import Policy
from model.terms import SESSION_TOKEN, TOKEN_LIFETIME, Endpoint, Outcome, Runtime, Token, TokenId
from model.world.facts import Announced, Dropped, Fired, Kept, Origin, Restarted, Sent, Settled, Told
from model.world.state import PATIENCE, Request, World
from properties.system.step import Step

NULL = "null"
"""How a call ends, among the names of errors, that was answered with null."""

OFFLINE = "offline"
"""How a call ends that says that the device is offline."""

REFUSED = "api-"
"""With what the name of an error begins that stands for an answer of the server's: its status follows."""

Check = Callable[[Step], str | None]


class Invariant(Struct, frozen=True):
    """Something that must hold in every step of every trace."""

    id: str
    sentence: str
    check: Check
    runtimes: frozenset[Runtime]
    history: bool = False  # asks what has happened to a call since it was made: more for a proof to keep apart
    waits: bool = False  # asks for how long a call has waited: more still
    timeless: bool = False  # asks for no instant, and looks at one fact by itself or at what follows from one cue
    recovers: bool = False  # promises that something comes, so that a proof asks whether it must
    beside: Callable[[Policy], Policy] | None = None  # compares the target with a client of this other policy


INVARIANTS: dict[str, Invariant] = {}
"""Every invariant by id; the first is the one this project exists for."""

USUAL: list[str] = []
"""The ids of those that are judged on every runtime where none is named. The others are about one runtime alone,
or break on some releases in traces too rare for a random search to come upon every time: no gate can be built on
that."""


def invariant(
    name: str,
    *runtimes: Runtime,
    history: bool = False,
    waits: bool = False,
    timeless: bool = False,
    recovers: bool = False,
    usual: bool = True,
    beside: Callable[[Policy], Policy] | None = None,
) -> Callable[[Check], Check]:
    """Register a check under `name`, for some runtimes only if any are given."""

    def register(check: Check) -> Check:
        sentence = " ".join((check.__doc__ or "").split())
        INVARIANTS[name] = Invariant(
            name,
            sentence,
            check,
            frozenset(runtimes or Runtime),
            history or waits,
            waits,
            timeless,
            recovers,
            beside,
        )
        if usual:
            USUAL.append(name)
        return check

    return register


def usual(runtime: Runtime) -> list[str]:
    """The ids of those that are judged on `runtime` where none is named: the usual ones, and what is about
    nothing but it, unless that takes another client beside the target."""
    return [
        name
        for name, one in INVARIANTS.items()
        if name in USUAL or (one.runtimes == {runtime} and one.beside is None)
    ]


@invariant("background-never-destroys-valid-session", Runtime.HEADLESS, timeless=True)
def background_never_destroys_valid_session(step: Step) -> str | None:
    """A headless runtime never drops a session that is valid on the server because of something a background
    timer began."""
    for fact in step.facts:
        if isinstance(fact, Dropped) and fact.valid and fact.origin is Origin.BACKGROUND:
            return "the user is signed out by the background, while the server still holds the session valid"
    return None


@invariant("valid-session-survives", timeless=True)
def valid_session_survives(step: Step) -> str | None:
    """Nothing the client does, in the foreground or the background, drops a session that is valid on the
    server."""
    for fact in step.facts:
        if isinstance(fact, Dropped) and fact.valid:
            return "the user is signed out, while the server still holds the session valid"
    return None


@invariant("revoked-session-signs-out", history=True, timeless=True)
def revoked_session_signs_out(step: Step) -> str | None:
    """Once the server has ended the session, the next foreground call that reaches the server signs the user
    out."""
    for fact in step.facts:
        if isinstance(fact, Settled) and fact.told_ended and step.after.signed_in:
            return f"call {fact.call} was told truthfully that the session has ended; the user stays signed in"
    return None


@invariant("foreground-recovers", history=True, recovers=True)
def foreground_recovers(step: Step) -> str | None:
    """After a skipped, failed or frozen refresh, the next foreground getToken in a healthy world yields a
    token, and a touch ends well."""
    for fact in step.facts:
        if isinstance(fact, Settled) and fact.healthy and fact.error:
            return f"call {fact.call} ends with '{fact.error}', although nothing went wrong since it was made"
    for call in step.after.calls:
        waited = step.after.now - call.asked_at
        if call.healthy and waited > PATIENCE and not step.after.requests:
            return f"call {call.call} still waits after {waited} ms, although nothing it could wait for is left"
    return None


@invariant("every-call-settles", waits=True)
def every_call_settles(step: Step) -> str | None:
    """A call ends within 15 s, unless a request of its own is under way or it is to be tried again: a
    request that somebody else sent, and that hangs, holds up nobody."""
    world = step.after
    if any(world.now - one.sent_at <= PATIENCE for one in world.requests):
        return None
    if any(timer.cause is not None for timer in world.timers):
        return None  # a retry is to come
    asking = {one.cause for one in world.requests}
    for call in world.calls:
        if call.call not in asking and world.now - call.awake_since > PATIENCE:
            return f"call {call.call} has waited for more than 15 s, and nothing is under way for it"
    return None


@invariant("token-handed-out-is-valid")
def token_handed_out_is_valid(step: Step) -> str | None:
    """A token that getToken returns is the one asked for, and verifies at a server at that instant of server
    time."""
    for fact in step.facts:
        if not isinstance(fact, Settled) or fact.token is None:
            continue
        if fact.token.token_id != fact.token_id:
            return f"call {fact.call} asked for {_named(fact.token_id)} and got {_named(fact.token.token_id)}"
        if not fact.token.issued * 1000 <= fact.at < fact.token.expires * 1000:
            return f"call {fact.call} got {fact.token}, which had expired by then"
    return None


@invariant("tokens-never-go-backwards", timeless=True)
def tokens_never_go_backwards(step: Step) -> str | None:
    """The last active token of a session does not give way to one that was made from older data."""
    for fact in step.facts:
        if isinstance(fact, Announced) and fact.backwards:
            return (
                f"{fact.token}, made from older data, takes the place of {fact.before} as the last active token"
            )
    return None


@invariant("offline-is-not-signed-out", timeless=True)
def offline_is_not_signed_out(step: Step) -> str | None:
    """While the session is valid, getToken does not answer null, which says that nobody is signed in. On a device
    that is offline it ends in the offline error, unless the server had refused it before; and being offline signs
    nobody out, so that coming back needs no sign-in."""
    offline = step.after.offline
    for fact in step.facts:
        if isinstance(fact, Settled) and fact.error == NULL and step.after.signed_in and step.after.valid:
            return f"call {fact.call} is answered with null, as if nobody were signed in"
        if offline and isinstance(fact, Settled) and fact.error and not _tells_why(fact.error):
            return f"call {fact.call} ends with '{fact.error}', which does not say that the device is offline"
        if offline and isinstance(fact, Dropped) and fact.valid:
            return "the user is signed out on a device that is offline, while the session is valid"
    return None


def _tells_why(error: str) -> bool:
    """Does a call that ends with this on a device that is offline say why? It may have been refused before."""
    return error == OFFLINE or error.startswith(REFUSED)


@invariant("no-empty-token-announced", Runtime.BROWSER, usual=False)
def no_empty_token_announced(step: Step) -> str | None:
    """While the session is valid on the server, and the client has not dropped it, the session cookie is not
    emptied: to the app's own server an empty one says that nobody is signed in."""
    for fact in step.facts:
        if isinstance(fact, Kept) and fact.emptied:
            return "the session cookie is emptied, while the session is valid and the user still signed in"
    return None


@invariant("no-request-storm", timeless=True)
def no_request_storm(step: Step) -> str | None:
    """What GET /client answers never makes the client ask it again in the same instant: a server that goes on
    saying so would be asked without pause or end."""
    told: Told | None = None
    page = step.after.runtime is Runtime.BROWSER
    switches = any(call.switches for call in step.before.calls)
    for fact in step.facts:
        match fact:
            case Told(endpoint=Endpoint.CLIENT, outcome=Outcome.SESSION) if page or switches:
                told = None  # whoever keeps the cookie, or switches, asks once more after a 401, and then no more
            case Told(endpoint=Endpoint.CLIENT):
                told = fact
            case Fired():
                told = None
            case Sent(endpoint=Endpoint.CLIENT) if told:
                answer = f"request {told.request} is answered: {told.outcome}"
                return f"{answer}; and request {fact.request} asks again in the same instant"
    return None


@invariant("refresh-chain-survives", history=True, usual=False)
def refresh_chain_survives(step: Step) -> str | None:
    """Whenever getToken has given a session token, the next one is on its way: a timer is set that goes off
    before it expires, or a request is in flight that is not overdue."""
    world = step.after
    for place, fact in enumerate(step.facts):
        if not isinstance(fact, Settled) or fact.token is None or not world.is_session_token(fact.token.token_id):
            continue
        coming = any(timer.due < fact.token.expires * 1000 for timer in world.timers)
        asking = any(_renews(world, one) and world.now - one.sent_at <= PATIENCE for one in world.requests)
        later = [one for one in step.facts[place:] if isinstance(one, Sent) and _renews(world, one)]
        asked = any(one.at < fact.token.expires * 1000 for one in later)
        if not coming and not asking and not asked:
            return f"call {fact.call} got {fact.token}, and nothing is under way that could renew it"
    return None


@invariant("one-refresh-at-a-time", usual=False)
def one_refresh_at_a_time(step: Step) -> str | None:
    """The background asks for a session token once in the life of each: not while it is asking already, and not
    before a third of the life of the newest one is over. Judged until the active organization is another."""
    if step.before.active != (None,):
        return None  # a slot that was filled for another is refreshed for the active one, too, on every release
    world = step.before
    newest = world.token if world.is_session_token(world.token.token_id) else None
    asking = {one.request for one in world.requests if one.cause is None and _renews(world, one)}
    for fact in step.facts:
        match fact:
            case Told(token=Token() as token) if world.is_session_token(token.token_id):
                newest = token
            case Restarted(token=Token() as token):
                newest, asking = token, set()  # what was in flight ended with the process
            case Sent(origin=Origin.BACKGROUND) if _renews(world, fact):
                if asking:
                    return f"the background sends request {fact.request} while it waits for request {min(asking)}"
                if newest and fact.at < newest.expires * 1000 - TOKEN_LIFETIME * 2000 // 3:
                    return f"the background sends request {fact.request}, with most of the life of {newest} to go"
                asking = {fact.request}
        if isinstance(fact, Told):
            asking.discard(fact.request)
    return None


def _without_guard(policy: Policy) -> Policy:
    return replace(policy, guard_expired_refresh=False)


@invariant("guard-is-headless-only", Runtime.BROWSER_LIKE, usual=False, beside=_without_guard)
def guard_is_headless_only(step: Step) -> str | None:
    """On a runtime that is not headless, a client with the guard of #8303 does exactly what one without it
    does."""
    return step.parted


def _renews(world: World, request: Sent | Request) -> bool:
    return request.endpoint is Endpoint.TOKENS and world.is_session_token(request.token_id)


def _named(token_id: TokenId) -> str:
    return f"a token of {token_id}" if token_id != SESSION_TOKEN else "the personal session token"
