"""The model of @clerk/expo in an app with Clerk's native module, on 3.1.6 to 3.3.1 (ClerkProvider.tsx).

When the provider is mounted, Expo configures the module with the credential. If the module has a session, Expo
asks for settings and sessions once more, beside load(), and makes that session the active one (setActive).
Whenever React sees another `isSignedIn`, Expo signs out of the module, or configures it if it has no session.

The module is the fake of driver/expo_native-module.mjs. Requests of Expo's own setActive belong to no call of the
app: here to one with a negative number, of which nobody hears.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from model.clerk import loading, session
from model.clerk.loading import PARTS
from model.clerk.policy import Policy
from model.clerk.sdk import CLERK
from model.clerk.session import NOBODY
from model.clerk.state import Client, Flight, Purpose, Turn
from model.clerk.terms import SESSION_TOKEN, SignIn, SwitchOrganization, SwitchSession
from model.clerk.transition import announced
from model.io import (
    Called,
    CallSettled,
    Output,
    Replied,
    RequestSent,
    SignedIn,
    SignedOut,
    Started,
    Stimulus,
    TimerDue,
    TimerSet,
)
from model.operations import Load
from model.requests import Endpoint, Outcome
from model.terms import CallId, Millis, RequestId, Runtime, Session, TimerId, Token, Word
from properties.targets.clerk.expo_model import ExpoModel
from properties.targets.clerk.expo_start import parts

POLL, POLLS = 100, 30
"""How long Expo waits before it asks the module for a session again, in ms, and how often it does."""

OF_THE_MODULE = tuple(
    f"no {name}"
    for name in (
        *("__clerk_api_version", "_clerk_js_version", "_is_native", "content-type"),
        *("x-expo-sdk-version", "x-mobile"),
    )
)
"""What a request of the module lacks, which every request of the SDK has."""


class Native(Struct, frozen=True):
    """The native module. It lives on when the JavaScript is loaded again."""

    configured: bool = False
    token: bool = False  # it has the credential
    session: Session | None = None
    leaving: bool = False  # its last request for a sign-out has no answer


class Seen(Word):
    """What React has seen of the client."""

    LOADING = "loading"
    SIGNED_IN = "signed-in"
    SIGNED_OUT = "signed-out"
    CRASHED = "crashed"  # useAuth throws when the session has no token: nothing is rendered any more


class Reload(Struct, frozen=True):
    """Settings and sessions asked for by Expo: what is still to be answered, the session that is to be the active
    one then, and the call of load() beside it."""

    left: frozenset[RequestId]
    session: Session
    call: CallId


class NativeModuleModel(ExpoModel):
    """The model of a client whose app has the native module."""

    def __init__(self, policy: Policy, early: bool) -> None:
        """`early`: a client that is still loading counts as signed out (until #8469)."""
        super().__init__(CLERK, policy)
        self._early = early

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """A fresh client, whose session the module has."""
        outputs = super().start(runtime, token)
        self._native = Native(configured=True, token=True, session=token.session)
        self._last: Session | None
        self._out: set[RequestId] = set()  # requests of the module
        self._begin(0)
        self._attached = self._listens = self._synced = True
        self._seen, self._last = Seen.SIGNED_IN, token.session
        return outputs

    def _begin(self, call: CallId) -> None:
        """The JavaScript is loaded anew."""
        self._last = None  # the session that was active last, in the newest client payload
        self._listens = False  # load() has ended well
        self._broken = False  # the last one that has ended has failed: Clerk is not `loaded`
        self._reloads: list[Reload] = []
        self._own: dict[CallId, CallId] = {}  # calls of Expo's own, and the call of load() that each came with
        self._switches: set[CallId] = set()  # calls of the app that end with setActive
        self._named: dict[RequestId, str] = {}  # the session that a request for settings names
        self._polls: dict[TimerId, tuple[int, CallId]] = {}
        self._mount(call)

    def _mount(self, call: CallId) -> None:
        """The provider is mounted, and calls load()."""
        self._mounted_by, self._attached = call, False  # has the call of load() ended well?
        self._seen, self._synced = Seen.LOADING, False
        self._polls = dict.fromkeys(self._polls, (0, call))  # of the one before

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """One transition of the model at `at` ms."""
        match stimulus:
            case Started(call):
                if self._native.leaving:
                    self._native = Native()
                self._out.clear()
                self._begin(call)
                return self._mounted(stimulus, call, at)
            case Called(call, Load()):
                self._mount(call)
                return self._mounted(stimulus, call, at)
            case Replied(request) if request in self._out:
                self._out.remove(request)
                self._native = Native()
                return ()
            case TimerDue(timer) if timer in self._polls:
                left, call = self._polls.pop(timer)
                return self._done(self._boot(Turn(self.client, at), left - 1, call), call) if left else ()
            case Called(call, SignIn() | SwitchOrganization() | SwitchSession()):
                self._switches.add(call)
        return self._seen_after(stimulus, super().feed(stimulus, at), at)

    def _react(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """The same; a request that Expo sends once is not sent again."""
        client: Client = self.client
        self._before, self._fed = client, stimulus  # an answer may be lost for want of the store
        if isinstance(stimulus, Replied) and stimulus.outcome is Outcome.LOST:
            flight = next(one for one in client.flights if one.request == stimulus.request)
            if flight.purpose in PARTS and flight.cause is None:
                self.client = replace(client, flights=tuple(one for one in client.flights if one is not flight))
                return ()
        return super()._react(stimulus, at)

    def _done(self, turn: Turn, call: CallId) -> tuple[Output, ...]:
        before: Client = self.client
        self.client, outputs = announced(before, turn)
        return tuple(self._told(self._after_the_store(outputs), call))

    # -- a start --------------------------------------------------------------------------------------------

    def _mounted(self, stimulus: Stimulus, call: CallId, at: Millis) -> tuple[Output, ...]:
        """The effects of the provider run."""
        first = self._sign_out(call) if self._early else ()
        outputs = tuple(self._told(super().feed(stimulus, at), None))
        self._configure()
        return (*first, *outputs, *self._done(self._boot(Turn(self.client, at), POLLS, call), call))

    def _configure(self) -> bool:
        """Expo reads the credential, and hands it to the module if there is one."""
        self._holds = self._holds and not self._locked
        self._native = replace(self._native, configured=True)
        if self._holds:
            known = self._last_active() or self._native.session
            self._native = replace(self._native, token=True, session=known)
        return self._holds

    def _boot(self, turn: Turn, left: int, call: CallId) -> Turn:
        """Make the session of the module the active one; ask for it again later, if there is none."""
        wanted = self._session()
        if wanted is None:
            if left <= 0:
                return turn
            timer = turn.client.next_timer
            self._polls[timer] = (left, call)
            return turn.but(next_timer=timer + 1).put(TimerSet(timer, turn.at + POLL, None))
        if turn.client.loaded and turn.client.newest(wanted) is not None:
            return self._set_active(turn, wanted, call)
        first = turn.client.next_request
        for request, purpose in enumerate(PARTS, first):
            turn = turn.send(Flight(request, purpose, SESSION_TOKEN, NOBODY, None))
        self._reloads.append(Reload(frozenset(range(first, turn.client.next_request)), wanted, call))
        return turn

    def _set_active(self, turn: Turn, wanted: Session, call: CallId) -> Turn:
        """clerk.ts setActive, by the id of a session: none if the client does not have it."""
        holder = turn.client.newest(wanted)
        if holder is None:
            return session.sign_out(turn, call).but(chosen=None)
        own = -len(self._own) - 1
        self._own[own] = call
        return session.touch(turn, own, holder, Purpose.SWITCH, "select_session")

    def _reloaded(self, at: Millis) -> tuple[Output, ...]:
        """What becomes of the reloads of which a request has ended: one that fails is given up."""
        gone, reply = parts(self._before) - parts(self.client), self._fed
        outputs: tuple[Output, ...] = ()
        for reload in [one for one in self._reloads if one.left & gone]:
            self._reloads.remove(reload)
            if not isinstance(reply, Replied) or reply.request not in reload.left:
                continue  # its 401 was looked into
            if reply.token is None and reply.outcome not in (Outcome.SETTINGS, Outcome.NO_SESSION):
                continue
            if rest := reload.left - gone:
                self._reloads.append(replace(reload, left=rest))
                continue
            turn = loading.client_updated(Turn(self.client, at), reload.call)
            outputs += self._done(self._set_active(turn, reload.session, reload.call), reload.call)
        return outputs

    # -- the module -----------------------------------------------------------------------------------------

    def _last_active(self) -> Session | None:
        return self._last if self.client.loaded else None

    def _session(self) -> Session | None:
        """The session that the module has. It hears of a new one when it is asked."""
        if not self._native.configured or not self._native.token:
            return None
        self._native = replace(self._native, session=self._native.session or self._last_active())
        return self._native.session

    def _sign_out(self, cause: CallId | None) -> tuple[Output, ...]:
        """Sign out of the module, which asks the server for the end of the session."""
        if not self._native.configured:
            return ()
        if not self._native.token:
            self._native = Native()
            return ()
        self._native = replace(self._native, leaving=True)
        request = self.client.next_request
        self.client = replace(self.client, next_request=request + 1)
        self._out.add(request)
        return (RequestSent(request, Endpoint.SIGN_OUT, SESSION_TOKEN, cause, True, OF_THE_MODULE),)

    # -- React ----------------------------------------------------------------------------------------------

    def _seen_after(self, stimulus: Stimulus, outputs: tuple[Output, ...], at: Millis) -> tuple[Output, ...]:
        """What the app is told of, and what React's effects do then."""
        reply = self._fed
        if isinstance(reply, Replied) and (reply.token or reply.outcome is Outcome.NO_SESSION):
            self._last = reply.token.session if reply.token else None
        settled = [one for one in outputs if isinstance(one, CallSettled)]
        ended = [one.call for one in settled if one.error is None]
        told = list(self._told(outputs, None))
        for end in settled:
            if end.call in self._before.loading:
                self._broken = end.error is not None
        loads = [call for call in ended if call in self._before.loading]
        if loads and not self._listens:
            self._listens = True
            here = self.client.has_session
            entered = SignedIn(loads[0], self.client.session) if here else SignedOut(loads[0])
            told = [entered, *(one for one in told if not isinstance(one, SignedIn | SignedOut))]
        was_attached, self._attached = self._attached, self._attached or self._mounted_by in loads
        told += self._reloaded(at)
        changes = [one for one in told if isinstance(one, SignedIn | SignedOut)]
        called = [stimulus.call] if isinstance(stimulus, Called) else []
        causes = [*(one.cause for one in changes), *called, *ended, None]
        switched = any(one.call in self._own for one in settled) or any(call in self._switches for call in ended)
        now = self._now(switched)
        done: tuple[Output, ...] = ()
        for one in changes if was_attached and not self._broken else ():
            back = Seen.CRASHED if now is Seen.CRASHED else Seen.SIGNED_IN
            done += self._effect(back if isinstance(one, SignedIn) else Seen.SIGNED_OUT, causes[0])
        done += self._effect(now, causes[0])
        return self._before_the_store(told, done) if done else tuple(told)

    def _now(self, switched: bool) -> Seen:
        """What React sees of the client, also of a session that setActive has just `switched` to."""
        client: Client = self.client
        here = client.has_session
        if self._seen is Seen.CRASHED or (switched and here and client.last_active(client.current) is None):
            return Seen.CRASHED
        if not self._attached or self._broken or client.leaving:
            return Seen.LOADING
        return Seen.SIGNED_IN if here else Seen.SIGNED_OUT

    def _effect(self, seen: Seen, cause: CallId | None) -> tuple[Output, ...]:
        """React sees the client so (NativeSessionSync)."""
        if seen is self._seen or self._seen is Seen.CRASHED:
            return ()
        self._seen = seen
        match seen:
            case Seen.SIGNED_IN:
                self._synced = self._synced or self._session() is not None or self._configure()
                return ()
            case Seen.CRASHED:
                return ()
            case _:
                self._synced = False
                return self._sign_out(cause) if seen is Seen.SIGNED_OUT or self._early else ()

    # -- outputs --------------------------------------------------------------------------------------------

    def _told(self, outputs: Collection[Output], call: CallId | None) -> Iterator[Output]:
        """What the world hears of: nothing of a call of Expo's own, whose requests come with the call of load(),
        nor of a session before load() has ended."""
        for output in outputs:
            match output:
                case CallSettled(one) if one in self._own:
                    continue
                case SignedIn() | SignedOut() if not self._listens:
                    continue
                case RequestSent(cause=cause):
                    named = self._naming(output)
                    yield replace(named, cause=self._own.get(cause, cause) if cause is not None else call)
                case SignedIn(cause=cause) | SignedOut(cause=cause) if cause is not None:
                    yield replace(output, cause=self._own.get(cause, cause))
                case _:
                    yield output

    def _naming(self, sent: RequestSent) -> RequestSent:
        """The request; one for the settings names the session that the app had when it was first sent."""
        if sent.endpoint is not Endpoint.CONFIGURE:
            return sent
        client: Client = self.client
        name = f"_clerk_session_id=sess_{client.session.number}" if client.has_session and client.loaded else ""
        resends = dict(self._before.resends)
        if isinstance(self._fed, TimerDue) and self._fed.timer in resends:
            name = self._named.get(resends[self._fed.timer].request, "")
        self._named[sent.request] = name
        return replace(sent, details=tuple(filter(None, (name, *sent.details))))

    def _before_the_store(self, told: list[Output], done: tuple[Output, ...]) -> tuple[Output, ...]:
        """What the module does comes before a call ends, and before a request of the SDK, which waits for the
        store: it has the number before."""
        sent = [one.request for one in told if isinstance(one, RequestSent)]
        new = {request: request + 1 for request in sent} | ({sent[-1] + 1: sent[0]} if sent else {})
        self.client = _renumbered(self.client, new)
        self._out = {new.get(one, one) for one in self._out}
        self._carried |= {new[request]: self._carried[request] for request in sent}
        self._named |= {new[request]: self._named[request] for request in sent if request in self._named}
        self._reloads = [
            replace(one, left=frozenset(new.get(request, request) for request in one.left))
            for one in self._reloads
        ]
        ended = [one for one in told if isinstance(one, CallSettled)]
        ordered = (*(one for one in told if one not in ended), *done, *ended)
        return tuple(_as_numbered(one, new) for one in ordered)


def _as_numbered(output: Output, new: Mapping[RequestId, RequestId]) -> Output:
    if not isinstance(output, RequestSent):
        return output
    return replace(output, request=new.get(output.request, output.request))


def _renumbered(client: Client, new: Mapping[RequestId, RequestId]) -> Client:
    """The same client, with other numbers of requests that it has just sent."""
    return replace(
        client,
        flights=tuple(replace(one, request=new.get(one.request, one.request)) for one in client.flights),
        cache=tuple(replace(one, request=new.get(one.request or 0, one.request)) for one in client.cache),
        calls=tuple(replace(one, waits_for=new.get(one.waits_for or 0, one.waits_for)) for one in client.calls),
    )
