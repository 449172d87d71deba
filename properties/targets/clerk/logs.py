"""What the facts of a trace look like in the logs of an app and of Clerk's Frontend API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from model.requests import Endpoint, Outcome
from model.terms import FIRST, Millis, TokenId
from model.world.facts import (
    Announced,
    Answered,
    CallStarted,
    ChannelLost,
    ClockSet,
    Fact,
    Frozen,
    KeychainChanged,
    Loaded,
    NetworkChanged,
    Origin,
    OtherSessionEnded,
    Restarted,
    Sent,
    SessionDropped,
    SessionEnded,
    Settled,
    Shown,
    TabHeard,
    TabTurned,
    TurnsTaken,
    Uncaught,
)
from properties.system.wording import ahead, duration, of_which
from properties.targets.clerk.requests import (
    CLIENT_PATH,
    ENVIRONMENT_PATH,
    SESSIONS_PATH,
    SIGN_INS_PATH,
    tokens_path,
    touch_path,
)
from properties.targets.clerk.server import render
from properties.targets.clerk.tokens import session_id

PATHS: dict[Endpoint, str] = {
    Endpoint.MINT: f"POST {tokens_path()}",
    Endpoint.INTROSPECT: f"GET {CLIENT_PATH}",
    Endpoint.MUTATE: f"POST {touch_path()}",
    Endpoint.CONFIGURE: f"GET {ENVIRONMENT_PATH}",
    Endpoint.SIGN_IN: f"POST {SIGN_INS_PATH}",
    Endpoint.SIGN_OUT: f"DELETE {SESSIONS_PATH}",
}
"""The request line of each endpoint, with the session of the fake server."""

NOTES: dict[Outcome, str] = {
    Outcome.NO_SESSION: "without a session",
    Outcome.STALE_TOKEN: "with a token whose `oiat` is lower than before",
    Outcome.GATEWAY_PAGE: "with a page of HTML",
    Outcome.LEAN_SESSION: "with the session, without its token",
    Outcome.FOREIGN_TOKEN: "with a token of another user",
}
"""What an answer says that its status does not."""


def logs(facts: Iterable[Fact], end: Millis) -> tuple[str, ...]:
    """One line for each thing that a log shows until `end`, in order; last the requests without an answer."""
    return tuple(_lines(facts, end))


def _lines(facts: Iterable[Fact], end: Millis) -> Iterator[str]:
    open_requests: dict[int, Sent] = {}
    answered: set[tuple[Millis, Endpoint, TokenId]] = set()
    for fact in facts:
        match fact:
            case Frozen(at, until):
                yield f"nothing from the device for {duration(until - at)}"
            case ClockSet(skew=skew):
                yield f"timestamps of the device: {ahead(skew)}"
            case KeychainChanged(locked=True):
                yield 'the secure store refuses: "User interaction is not allowed."'
            case NetworkChanged(online=False):
                yield "the device goes offline"
            case TabTurned(state=state):
                yield f"the document is {state}"
            case TabHeard():
                yield "a request for a token from another tab of the app"
            case TurnsTaken(held=True):
                yield "nothing: another tab's request has no answer"
            case ChannelLost():
                yield "InvalidStateError: the channel is closed"
            case SessionEnded(ending=ending):
                yield f"the session ends on the server ({ending})"
            case OtherSessionEnded(ending=ending):
                yield f"another session of the device ends on the server ({ending})"
            case Uncaught():
                yield "an unhandled promise rejection"
            case Restarted(requests=requests):
                yield from (f"{_request(open_requests.pop(one))}: no answer" for one in requests)
                yield "the app starts anew"
            case CallStarted(operation=operation):
                yield f"the app calls {operation}"
            case Sent(request=request):
                open_requests[request] = fact
            case Answered(request=request):
                sent = open_requests.pop(request)
                answered.add((fact.at, sent.endpoint, sent.token_id))
                yield _answered(sent, fact)
            case SessionDropped(origin=origin):
                yield "the user is signed out" + ", while the app asks for nothing" * (
                    origin is Origin.BACKGROUND
                )
            case Announced(backwards=True):
                yield "the session's token has a lower `oiat` than the one before"
            case Loaded(error=error, signed_in=signed_in):
                yield (
                    f"load() rejects ({error})"
                    if error
                    else f"load() resolves{'' if signed_in else ', signed out'}"
                )
            case Settled():
                yield from _settled(fact)
            case Shown(emptied=True):
                yield "the `__session` cookie is empty"
    for sent in open_requests.values():
        if end > sent.at:
            yield f"{_request(sent)}: no answer for {duration(end - sent.at)}"
        elif (sent.at, sent.endpoint, sent.token_id) in answered:
            yield f"{_request(sent)}: again in the same instant"


def _request(sent: Sent) -> str:
    path = PATHS[sent.endpoint].replace(session_id(FIRST), "...")
    return path + ", without an Authorization header" * sent.unauthenticated


def _answered(sent: Sent, answer: Answered) -> str:
    status = render(answer.outcome, answer.token, answer.endpoint).status
    what = " ".join(filter(None, (str(status or "no answer"), NOTES.get(answer.outcome))))
    by = "sent by a timer" if sent.origin is Origin.BACKGROUND and sent.endpoint is Endpoint.MINT else ""
    old = f"{duration(sent.stale_for)} after the last token expired" if sent.stale_for else ""
    took = f"{duration(answer.at - sent.at)} in flight" if answer.at > sent.at else ""
    late = f"answered {duration(answer.stale_for)} after the token expired" if took and answer.stale_for else ""
    return f"{_request(sent)}: " + ", ".join(filter(None, (what, " ".join(filter(None, (by, old))), took, late)))


def _settled(fact: Settled) -> Iterator[str]:
    if fact.error:
        yield f"the call rejects ({fact.error})"
    elif fact.token and fact.at >= fact.token.expires * 1000:
        yield f"the call gives a token that expired {duration(fact.at - fact.token.expires * 1000)} ago"
    elif fact.token and fact.token.token_id != fact.token_id:
        yield f"the call gives a token{of_which(fact.token.token_id)}"
