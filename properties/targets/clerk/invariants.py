"""The invariants of Clerk's SDK alone. Importing this module registers them."""

from __future__ import annotations

from msgspec.structs import replace

from model import sdk
from model.clerk.policy import Policy
from model.requests import Endpoint
from model.step import Step
from model.terms import PAGES, Runtime, TabState
from model.world.facts import Answered, CallStarted, Origin, Restarted, Sent, TabTurned, TimerFired
from model.world.state import Request, World
from properties.invariants.breach import Breach, OpenRequest
from properties.invariants.catalogue import invariant


def _without_guard(policy: sdk.Policy) -> sdk.Policy:
    assert isinstance(policy, Policy), f"{policy.name} is no policy of Clerk's"
    return replace(policy, guard_expired_refresh=False)


@invariant("guard-is-headless-only", Runtime.BROWSER_LIKE, default=False, reference=_without_guard)
def guard_is_headless_only(step: Step) -> Breach | None:
    """On a runtime that is not headless, a client with the guard of #8303 behaves exactly like one without it."""
    if step.diverged is None:
        return None
    return Breach(step.diverged, step.facts[-1] if step.facts else None)


@invariant("one-start-retry-at-a-time", default=False)
def one_start_retry_at_a_time(step: Step) -> Breach | None:
    """The background retries a start one at a time: while no answer to a retry has come, it does not ask once
    more for both the settings and the sessions."""
    world = step.before
    asked = {one.request: one.endpoint for one in world.requests if _in_background(world, one)}
    both = (Endpoint.CONFIGURE, Endpoint.INTROSPECT)
    retry = next((one for one in asked if (asked[one], asked.get(one + 1)) == both), None)
    settings: Sent | None = None  # asked for by the timer that runs
    for fact in step.facts:
        match fact:
            case TimerFired():
                settings = None
            case Restarted():
                retry = None
            case Answered(request=request) if retry is not None and request in (retry, retry + 1):
                retry = None
            case Sent(endpoint=Endpoint.CONFIGURE, origin=Origin.BACKGROUND):
                settings = fact
            case Sent(endpoint=Endpoint.INTROSPECT, origin=Origin.BACKGROUND) if settings:
                if retry is not None:
                    now = settings.request
                    why = f"request {now} retries the start, while request {retry} does, which has no answer"
                    return Breach(why, settings, (OpenRequest(retry),))
                retry = settings.request
    return None


def _in_background(world: World, request: Request) -> bool:
    return world.origin(request.cause) is Origin.BACKGROUND


@invariant("only-the-app-signs-out", timeless=True, default=False)
def only_the_app_signs_out(step: Step) -> Breach | None:
    """While the session is valid, nothing asks the server to end it but an app that signs out."""
    leaving = any(call.leaves for call in step.before.calls)
    for fact in step.facts:
        match fact:
            case CallStarted():
                leaving = leaving or fact.operation.leaves
            case Restarted():
                leaving = False
            case Sent(endpoint=Endpoint.SIGN_OUT) if not leaving and step.before.valid:
                why = f"request {fact.request} asks for the end of a valid session, and the app does not sign out"
                return Breach(why, fact)
    return None


@invariant("hidden-tab-says-so", *PAGES, default=False)
def hidden_tab_says_so(step: Step) -> Breach | None:
    """A request for a token that the background sends from a hidden tab tells the server that the tab is hidden.
    Without that the server takes it for activity of the user, and a session that nobody uses stays active."""
    tab = step.before.page.tab
    for fact in step.facts:
        match fact:
            case TabTurned(state=state):
                tab = state
            case Sent(endpoint=Endpoint.MINT, origin=Origin.BACKGROUND) if (
                tab is TabState.HIDDEN and fact.tab is not tab
            ):
                says = f"that the tab is {fact.tab}" if fact.tab else "nothing of the tab"
                return Breach(f"request {fact.request} says {says}, which is hidden", fact)
    return None


OWN = ("guard-is-headless-only", "one-start-retry-at-a-time", "only-the-app-signs-out", "hidden-tab-says-so")
