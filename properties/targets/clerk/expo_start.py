"""The model of @clerk/expo in an app with its resource cache: how it starts without a network.

Of @clerk/clerk-js (clerk.ts #loadInNonStandardBrowser, __internal_reloadInitialResources): load() sends each
request once. If the network fails, it makes a new Client resource of what is cached, and ends well. Requests that
were sent before still change the old one; the app gets that back if what waits for it ends well.

Of @clerk/expo (createClerkInstance.ts): what is kept is cached. While the store is locked it cannot be read. Then
load() starts with nobody, and both requests are sent again later, until they succeed or are refused.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from model.clerk import cache, loading, session
from model.clerk.loading import PARTS
from model.clerk.network import GETS, NETWORK_RETRIES_ONLINE
from model.clerk.policy import Policy
from model.clerk.sdk import CLERK
from model.clerk.session import CLIENT_ERRORS, NO_REPLY, NOBODY
from model.clerk.state import Client, Entry, Flight, Purpose, Turn
from model.clerk.terms import SESSION_TOKEN, SignIn, SignOut, SwitchOrganization, SwitchSession
from model.clerk.transition import announced
from model.io import Called, CallSettled, Output, Replied, Started, Stimulus, TimerDue, TimerSet, Uncaught
from model.requests import Outcome
from model.terms import CallId, Millis, RequestId, Runtime, TimerId, Token
from properties.targets.clerk.expo_kept import Kept, Resource, brings_client, kept, stores, told
from properties.targets.clerk.expo_model import ExpoModel

NETWORK_ERROR = "network_error"
"""The error name of a request without a reply in such an app (Base.ts shouldRethrowOfflineNetworkErrors)."""

FIRST_RETRY, AFTER_NO_REPLY, AFTER_FAILURE = 3_000, 2_000, 10_000
"""How many ms after a start, after a retry without a reply, and after one that the server failed, the next one
comes."""
LONGEST, DOUBLINGS = 30_000, 4
"""Since #9173 each retry comes twice as late as the one before: so often, and so many ms at most."""


class Choices(Struct, frozen=True):
    """Where releases and apps differ."""

    once: bool
    """There is one retry at a time, and each comes later than the one before (#9173)."""

    keeps_nobody: bool
    """The client that it starts with for want of another is kept, too (until #9284)."""

    leaves: bool
    """A sign-out that gets no reply ends well (clerk.ts signOut)."""

    locked: bool
    """What is kept is in the secure store, so that a locked keychain keeps it back."""


class CachedStartModel(ExpoModel):
    """The model of a client whose app has Expo's resource cache."""

    unsaved = NETWORK_ERROR

    def __init__(self, policy: Policy, choices: Choices) -> None:
        super().__init__(CLERK, policy)
        self.choices = choices

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """A fresh client, which is kept."""
        outputs = super().start(runtime, token)
        self._kept = Kept()
        self._begin(Resource(self.client.listed, token.session))
        self._tell(1)
        return outputs

    def _begin(self, first: Resource) -> None:
        """A new process, with one Client resource."""
        self._resources = [first]
        self._shown = 0  # the one that the app has
        self._listeners_have: int | None = None
        self._asks: dict[RequestId, int] = {}  # the one that a GET was sent for
        self._switches: set[CallId] = set()  # calls that end with setActive
        self._bare = False  # the settings are those that it starts with for want of others
        self._timers: set[TimerId] = set()  # of retries
        self._retries: list[frozenset[RequestId]] = []  # what of each is still to be answered
        self._failures, self._retried = 0, False

    def _react(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """The same, and whatever the SDK tells its listeners is kept, or cannot be."""
        before: Client = self.client
        emits, bare_before = 0, self._bare
        match stimulus:
            case Started():
                self._begin(Resource())
                outputs = super()._react(stimulus, at)
            case TimerDue(timer) if timer in self._timers:
                self._timers.remove(timer)
                outputs = self._done(before, self._retry(Turn(before, at)))
            case Replied():
                flight = next(one for one in before.flights if one.request == stimulus.request)
                outputs, emits = self._replied(flight, stimulus, at)
            case Called(call, operation):
                outputs = super()._react(stimulus, at)
                if isinstance(operation, SwitchOrganization | SwitchSession | SignIn):
                    self._switches.add(call)
                emits = int(isinstance(operation, SignOut) and bool(before.listed) and self.client.leaving)
            case _:
                outputs = super()._react(stimulus, at)
        for flight in self.client.flights:
            if flight.purpose in GETS:
                self._asks.setdefault(flight.request, len(self._resources) - 1)
        self._resources[self._shown] = replace(self._resources[self._shown], listed=self.client.listed)
        # Settings that come with an answer are there only after its client was told of.
        bare = (emits if self._bare else min(emits, 1)) if bare_before else 0
        return tuple(map(self._named, outputs)) + self._tell(emits, bare)

    @property
    def _shut(self) -> bool:
        """Can nothing be kept or read now?"""
        return self.choices.locked and self._locked

    def _done(self, before: Client, turn: Turn) -> tuple[Output, ...]:
        self.client, outputs = announced(before, turn)
        return outputs

    def _tell(self, emits: int, bare: int = 0) -> tuple[Output, ...]:
        """The SDK tells its listeners so often, once it has loaded (clerk.ts #emit); `bare` times while the
        settings are those that it started with for want of others."""
        if not emits or not self.client.loaded:
            return ()
        shown, had = self._resources[self._shown], self._listeners_have
        if had is None or self._resources[had].differs(shown):
            self._listeners_have = had = self._shown
        what = kept(self.client, self._resources[had])
        left_out = 0 if self.choices.keeps_nobody else emits * what.of_nobody + bare
        if self._shut:
            return (Uncaught(),) * (emits * stores(what) - left_out)
        if self.choices.keeps_nobody or not what.of_nobody:
            self._kept = what
        return ()

    def _named(self, output: Output) -> Output:
        """The output; if it settles a call with an error of the network layer, with the one of this app."""
        of_network = ("Error", self.client.policy.gateway_page_error)
        lost = isinstance(output, CallSettled) and output.error in of_network
        return replace(output, error=NETWORK_ERROR) if lost else output

    # -- answers --------------------------------------------------------------------------------------------

    def _replied(self, flight: Flight, reply: Replied, at: Millis) -> tuple[tuple[Output, ...], int]:
        """What an answer does, or that there is none, and how often the SDK tells its listeners."""
        before: Client = self.client
        turn = Turn(before, at).but(flights=tuple(one for one in before.flights if one is not flight))
        part = _lost_part(flight, reply.outcome)
        if part is not None:
            outputs = self._done(before, self._lost(turn, part))
        elif self.choices.leaves and flight.purpose is Purpose.SIGN_OUT and reply.outcome in NO_REPLY:
            outputs = self._done(before, _left(turn, flight))
        else:
            outputs = self._answered(flight, reply, at)
        emits = told(self.client, part or flight, reply, outputs, self._switches)
        if part is None:
            more, retried = self._retried_by(flight, reply.outcome, parts(before) - parts(self.client), at)
            outputs, emits = outputs + more, emits + 2 * retried
        return outputs, emits

    def _answered(self, flight: Flight, reply: Replied, at: Millis) -> tuple[Output, ...]:
        """An answer arrived: for the Client resource that its request was sent for, or for the newest one."""
        before: Client = self.client
        place = self._asks.get(flight.request, len(self._resources) - 1)
        apart = flight.purpose in PARTS and place != self._shown
        if apart:
            self.client = replace(before, listed=self._resources[place].listed, chosen=before.current)
        outputs = super()._react(reply, at)
        client: Client = self.client
        if brings_client(flight, reply):
            self._resources[place] = Resource(client.listed, reply.token.session if reply.token else None)
        ends_well = any(isinstance(one, CallSettled) and one.error is None for one in outputs)
        if flight.purpose in PARTS and ends_well:
            self._shown, self._bare = place, False
        elif not apart and brings_client(flight, reply):
            self._shown = place
        elif apart:
            self.client = replace(client, listed=before.listed, chosen=before.chosen)
        return outputs

    def _show(self, turn: Turn, place: int, call: CallId | None) -> Turn:
        """The app gets this Client resource (clerk.ts updateClient)."""
        self._shown, resource = place, self._resources[place]
        turn = turn.but(listed=resource.listed)
        if not turn.client.loaded and resource.active is not None:
            turn = turn.but(chosen=turn.client.newest(resource.active))
        return loading.client_updated(turn, call)

    # -- a start without a network --------------------------------------------------------------------------

    def _lost(self, turn: Turn, part: Flight) -> Turn:
        """A request of load(), or of a retry, got no reply."""
        for retry in self._retries:
            if part.request in retry:
                self._retries.remove(retry)
                return self._retry_later(turn, AFTER_NO_REPLY)
        call = part.cause
        if call is None or call not in turn.client.loading:
            return turn
        self._bare = self._shut
        if self._shut:
            turn = self._set_timer(turn, FIRST_RETRY)
        turn = self._restored(turn, Kept() if self._shut else self._kept, call)
        turn = turn.but(loading=tuple(other for other in turn.client.loading if other != call))
        return self._show(turn, len(self._resources) - 1, call).put(CallSettled(call, None, None))

    def _restored(self, turn: Turn, what: Kept, call: CallId) -> Turn:
        """A new Client resource, of what was kept (Client.ts fromJSON)."""
        app_has = turn.client.current if turn.client.loaded else None
        first = len(turn.client.holders)
        turn = turn.but(holders=(*turn.client.holders, *what.holders), chosen=app_has)
        listed = tuple(range(first, len(turn.client.holders)))
        for place, holder in zip(listed, what.holders, strict=True):
            if holder.token is not None:
                entry = Entry(turn.client.default(place), place, announces=True, cause=call)
                turn = cache.keep(turn, entry, holder.token)
        self._resources.append(Resource(listed, what.active, what.of_nobody))
        return turn

    # -- retries --------------------------------------------------------------------------------------------

    def _set_timer(self, turn: Turn, delay: Millis) -> Turn:
        if self.choices.once and (self._retried or self._timers or self._retries):
            return turn
        timer = turn.client.next_timer
        self._timers.add(timer)
        return turn.but(next_timer=timer + 1).put(TimerSet(timer, turn.at + delay, None))

    def _retry_later(self, turn: Turn, delay: Millis) -> Turn:
        if not self.choices.once:
            return self._set_timer(turn, delay)
        later = min(delay * 2**self._failures, LONGEST)
        self._failures = min(self._failures + 1, DOUBLINGS)
        return self._set_timer(turn, later)

    def _retry(self, turn: Turn) -> Turn:
        """Ask again for what load() asked for."""
        if self.choices.once and self._retried:
            return turn
        first = turn.client.next_request
        for request, purpose in enumerate(PARTS, first):
            turn = turn.send(Flight(request, purpose, SESSION_TOKEN, NOBODY, None))
        self._retries.append(frozenset(range(first, turn.client.next_request)))
        return turn

    def _retried_by(
        self, flight: Flight, outcome: Outcome, ended: set[RequestId], at: Millis
    ) -> tuple[tuple[Output, ...], int]:
        """What becomes of the retries of which these requests have ended, and how many have succeeded. A 401 that
        was looked into stays one."""
        before: Client = self.client
        turn, succeeded = Turn(before, at), 0
        for retry in [one for one in self._retries if one & ended]:
            self._retries.remove(retry)
            if flight.purpose is Purpose.RECOVERY or outcome in CLIENT_ERRORS:
                continue
            if outcome is Outcome.BROKEN:
                turn = self._retry_later(turn, AFTER_FAILURE)
            elif rest := retry - ended:
                self._retries.append(rest)
            else:
                self._retried, self._bare = True, False
                turn, succeeded = self._show(turn, self._asks[max(ended)], None), succeeded + 1
        return self._done(before, turn), succeeded


def _left(turn: Turn, flight: Flight) -> Turn:
    """The app has signed out, whatever the server knows of it, unless a switch has set a session since."""
    assert flight.cause is not None, "only the app signs out"
    if turn.client.leaving:
        turn = session.sign_out(turn, flight.cause).but(chosen=None)
    return turn.put(CallSettled(flight.cause, None, None))


def _lost_part(flight: Flight, outcome: Outcome) -> Flight | None:
    """The request of a start that has failed for want of a reply: this one, or the one whose 401 it looks into;
    None if there is none."""
    if outcome not in NO_REPLY:
        return None
    sent_again = outcome is Outcome.LOST and flight.tries <= NETWORK_RETRIES_ONLINE
    waits = None if flight.purpose is not Purpose.RECOVERY or sent_again else flight.parent
    part = flight if flight.purpose in PARTS else waits
    return part if part is not None and part.purpose in PARTS else None


def parts(client: Client) -> set[RequestId]:
    """The requests of starts that have not ended, those included whose 401 is looked into."""
    known = (*client.flights, *(flight for _, flight in client.resends))
    both = (*known, *(flight.parent for flight in known if flight.parent is not None))
    return {one.request for one in both if one.purpose in PARTS}
