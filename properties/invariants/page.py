"""The invariants of a page: what its tab, its frame and the app's own server are shown.

The catalogue's package imports this module, and so registers them.
"""

from __future__ import annotations

from model.requests import Endpoint
from model.step import Step
from model.terms import PAGES, TabState
from model.world.events import Advance
from model.world.facts import Announced, Settled, Shown, TabTurned
from properties.invariants.breach import Breach, GivenToken, KnownToken, Renewal
from properties.invariants.catalogue import early_renewals, invariant
from properties.system.wording import duration


@invariant("no-empty-token-announced", *PAGES, default=False)
def no_empty_token_announced(step: Step) -> Breach | None:
    """While the session is valid on the server, and the client has not dropped it, the app's own server is always
    shown a token. Without one it treats the user as signed out."""
    for fact in step.facts:
        if isinstance(fact, Shown) and fact.emptied:
            why = "the app's own server is shown no token, while the session is valid and the user signed in"
            return Breach(why, fact)
    return None


@invariant("newest-token-is-shown", *PAGES, default=False)
def newest_token_is_shown(step: Step) -> Breach | None:
    """When a token becomes the session's last active one, the app's own server is shown no older one of the same
    kind."""
    world, shown = step.after, step.after.page.shown
    announced = [fact for fact in step.facts if isinstance(fact, Announced)]
    if not announced or shown is None or not (world.signed_in and world.valid):
        return None
    newest = announced[-1].token
    if not (newest.comparable(shown) and newest.fresher_than(shown)):
        return None
    why = f"the app's own server is shown {shown}, though {newest} is the session's token"
    return Breach(why, announced[-1], (KnownToken(shown),))


@invariant("asks-on-return", *PAGES, default=False)
def asks_on_return(step: Step) -> Breach | None:
    """When the user comes back to a tab, and the token that the app's own server is shown has expired, the client
    asks for another one at once, unless it has asked already."""
    world, shown = step.after, step.after.page.shown
    turned = next((one for one in step.facts if isinstance(one, TabTurned)), None)
    if turned is None or shown is None or not (world.signed_in and world.valid):
        return None
    returns = _ATTENTION.index(turned.state) > _ATTENTION.index(step.before.page.tab)
    asked = any(one.endpoint is Endpoint.MINT for one in world.requests)
    if not returns or asked or world.now < shown.expires * 1000:
        return None
    why = f"the user comes back, and nothing asks for a token, though {shown} has expired"
    return Breach(why, turned, (KnownToken(shown),))


_ATTENTION = (TabState.HIDDEN, TabState.VISIBLE, TabState.FOCUSED)


@invariant("expired-token-is-renewed", *PAGES, default=False)
def expired_token_is_renewed(step: Step) -> Breach | None:
    """While the event loop runs, the app's own server is not shown an expired token for longer than the network's
    patience, unless a request for another is in flight, or the client still waits after a fault."""
    world, shown = step.after, step.after.page.shown
    if not isinstance(step.event, Advance) or shown is None or not (world.signed_in and world.valid):
        return None
    expired = max(step.before.now, shown.expires * 1000)
    asked = any(one.endpoint is Endpoint.MINT for one in (*step.before.requests, *world.requests))
    if (
        asked
        or step.start.in_trouble
        or step.before.page.shown != shown
        or world.now - expired < world.timings.patience
    ):
        return None
    long = duration(world.now - expired)
    why = f"for {long} the app's own server is shown {shown}, which has expired, and nothing asks"
    return Breach(why, about=(Renewal(shown),))


@invariant("kept-while-fresh", *PAGES, default=False)
def kept_while_fresh(step: Step) -> Breach | None:
    """A session token that an answer has brought is kept: the background asks for no other before a third of its
    lifetime has passed. Checked until another token becomes the session's own."""
    for sent, newest in early_renewals(step):
        if step.before.is_session_token(sent.token_id):
            why = f"the background sends request {sent.request}, with most of the life of {newest} to go"
            return Breach(why, sent, (KnownToken(newest),))
    return None


@invariant("no-older-token-by-another-tab", *PAGES, default=False)
def no_older_token_by_another_tab(step: Step) -> Breach | None:
    """No call returns a token that another tab has told of, if an earlier call had one before that was made from
    newer data and is not too old to be returned."""
    cutoff = step.before.timings.cutoff
    for fact in step.facts:
        if not isinstance(fact, Settled) or not fact.token or fact.token != step.before.page.heard:
            continue
        fresher = fact.fresher
        if fresher and fresher.number < fact.token.number and fact.at < (fresher.expires - cutoff) * 1000:
            why = f"call {fact.call} got {fact.token} of another tab, made from older data than {fresher}"
            return Breach(why, fact, (GivenToken(fresher),))
    return None
