"""How a request ends, in two parts: the server acts and mints (`serve`), and its reply reaches the client or is
lost (`deliver`). In an `Answer` both happen at one instant."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from model.io import Replied, Stimulus, TokenHeard
from model.requests import ENDED, GRANTS, OF_DEVICE, Ending, Endpoint, Outcome, succeeds
from model.terms import STRANGE, RequestId, Session, Token, TokenId
from model.world.facts import Answered, Fact, Served, TabHeard
from model.world.state import OtherSession, Reply, Request, System, World

LISTS = (Outcome.SESSION, Outcome.STALE_TOKEN, Outcome.NO_SESSION)
"""The outcomes that say which sessions there are, unless they answer a request for a token."""


class Cue(Struct, frozen=True):
    """A stimulus for the client. It is `tainted` if it is an answer that was not honest, or the callback of a
    tainted timer: the timers that the client sets and the requests that it sends in return are tainted too. The
    timers are for the same token as the answer, if that was for one, or as the timer that ran (`token_id`)."""

    stimulus: Stimulus
    tainted: bool = False
    token_id: TokenId | None = None


def _others(world: World, but: Session) -> tuple[World, tuple[Token, ...]]:
    """A token of each session that the server holds, but of one."""
    tokens: list[Token] = []
    for session in world.sessions:
        if session != but:
            tokens.append(_minted(world, world.of(session).server.session_token.of(session)))
            world = world.but(minted=tokens[-1].number)
    return world, tuple(tokens)


def _minted(world: World, token_id: TokenId) -> Token:
    """The next token that the server mints, at this instant."""
    issued = world.now // 1000
    return Token(world.minted + 1, token_id, issued, issued + world.timings.lifetime)


def _in_flight(world: World, number: RequestId) -> Request:
    request = world.request(number)
    assert request is not None, "`impossible` excludes requests that are not in flight"
    return request


def serve(system: System, number: RequestId, outcome: Outcome) -> tuple[System, Served]:
    """The server acts on a request: it mints a token if the outcome grants one. The client knows nothing yet."""
    world, monitor = system.world, system.monitor
    request = _in_flight(world, number)
    endpoint, session = request.endpoint, request.token_id.session
    honest = outcome is world.honest(endpoint, session) and not request.unauthenticated
    acted, session = _acted(world, request, outcome)
    if acted.session_tokens != world.session_tokens:
        monitor = monitor.accepting(acted.session_tokens)
    world, token = acted, None
    others: tuple[Token, ...] = ()
    if outcome in GRANTS:
        brought = world.of(session).server.brings(endpoint, request.token_id)
        token = _minted(world, brought.of(STRANGE if outcome is Outcome.FOREIGN_TOKEN else session))
        token = replace(token, behind=outcome is Outcome.STALE_TOKEN)
        world = world.but(minted=token.number)
    if endpoint is not Endpoint.MINT and outcome in LISTS and (honest or outcome is not Outcome.NO_SESSION):
        world, others = _others(world, session)
    served = replace(request, reply=Reply(outcome, token, world.now, honest, others))
    world = world.but(requests=tuple(served if one is request else one for one in world.requests))
    return System(world, monitor), Served(world.now, number, endpoint, outcome, token, request.sent_at)


def _acted(world: World, request: Request, outcome: Outcome) -> tuple[World, Session]:
    """The world after the server has acted on a request, and the session that the answer is about."""
    session = request.token_id.session
    if not succeeds(request.endpoint, outcome):
        return world, session
    match request.endpoint:
        case Endpoint.SIGN_IN:
            begun = Session(world.begun + 1, request.user or 0)
            other = OtherSession(begun, world.server.entered(), began=world.now)
            return world.but(begun=begun.number, others=(*world.others, other)), begun
        case Endpoint.SIGN_OUT:
            others = tuple(replace(one, ended=one.ended or Ending.REVOKED) for one in world.others)
            return world.but(ended=world.ended or Ending.REVOKED, others=others), session
        case _:
            before = world.of(session)
            after = replace(before, server=before.server.acted(request.endpoint, request.token_id))
            if session == world.session:
                return world.but(server=after.server), session
            others = tuple(after if one.session == session else one for one in world.others)
            return world.but(others=others), session


def hear(system: System, outcome: Outcome) -> tuple[System, tuple[Fact, ...], Cue]:
    """The server mints a token for another tab, and that tells this one."""
    world = system.world
    token = _minted(world, world.server.session_token.of(world.session))
    token = replace(token, behind=outcome is Outcome.STALE_TOKEN)
    system = system.but(minted=token.number, page=replace(world.page, heard=token))
    return system, (TabHeard(world.now, token),), Cue(TokenHeard(token), token_id=token.token_id)


def deliver(
    system: System, number: RequestId, lost: bool = False, at_once: bool = False
) -> tuple[System, tuple[Fact, ...], Cue | None]:
    """The request ends: the client gets the reply, or never will."""
    world, monitor = system.world, system.monitor
    request = _in_flight(world, number)
    assert request.reply is not None, "`impossible` excludes requests without a reply"
    reply = request.reply
    if lost:
        reply = replace(reply, outcome=Outcome.LOST, token=None, honest=False, others=())
    outcome, token, honest = reply.outcome, reply.token, reply.honest
    session = request.token_id.session
    answered = Answered(
        world.now,
        number,
        request.endpoint,
        outcome,
        token,
        request.sent_at,
        world.origin(request.cause),
        honest,
        world.stale_for,
        None if at_once else reply.served_at,
        session if session != world.session and request.endpoint not in OF_DEVICE else None,
    )
    world = world.but(requests=tuple(other for other in world.requests if other is not request))
    own = token is not None and token.session != STRANGE and world.server.authenticates(token.token_id)
    if token and own and token.number > world.token.number:
        world = world.but(token=token)
    if token and token.session == world.session and not world.is_session_token(token.token_id):
        monitor = monitor.fetched(token)
    world = _told(world, request.endpoint, reply)
    if not honest:
        monitor = monitor.fault()
    ended = honest and outcome in ENDED and session == world.session
    records = tuple(
        replace(record, told_ended=record.told_ended or ended, lied_to=record.lied_to or not honest)
        if record.call == request.cause or not world.loaded  # calls that load share what they are told
        else record
        for record in monitor.calls
    )
    tainted = tuple(other for other in monitor.tainted_requests if other != number)
    named = request.token_id if request.endpoint not in OF_DEVICE else token.token_id if token else None
    monitor = replace(monitor, calls=records, tainted_requests=tainted)
    return (
        System(world, monitor),
        (answered,),
        Cue(Replied(number, outcome, token, reply.others), not honest, None if reply.others else named),
    )


def _told(world: World, endpoint: Endpoint, reply: Reply) -> World:
    """The world after the client has got a reply: of which other sessions it knows."""
    brought = {one.session for one in (reply.token, *reply.others) if one}
    lists = endpoint is not Endpoint.MINT and reply.outcome in LISTS

    def known(one: OtherSession) -> bool:
        over = one.ended_alone or (one.ended is None and not world.holds(one.session))
        return one.session in brought or (one.known and not (lists and over))

    others = tuple(replace(one, known=known(one)) if known(one) != one.known else one for one in world.others)
    return world if others == world.others else world.but(others=others)


# -- timers run ---------------------------------------------------------------------------------------------
