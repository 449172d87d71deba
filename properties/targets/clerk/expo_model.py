"""The model of @clerk/clerk-js as @clerk/expo wraps it: what Expo adds for the device's credential."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from model.io import CallSettled, LockChanged, Output, Replied, RequestSent, Started, Stimulus, TimerDue
from model.requests import DONE, Outcome
from model.terms import Millis, RequestId, Runtime, Token
from model.world.events import Event, LockKeychain, RestartApp, StartApp
from properties.targets.model import ModelTarget

RENEWS = DONE
"""The answers with which the server renews the device's credential."""


class ExpoModel(ModelTarget):
    """The model of @clerk/clerk-js plus Expo's two callbacks, for comparison with a build.

    A request carries the credential in the store; the network layer resends a lost request unchanged. If the
    store cannot be read, Expo empties it (token-cache/index.ts getToken). The credential of an answer is saved
    before the answer is processed, and if it cannot be saved, the request fails (createClerkInstance.ts, and
    clerk-js's fapiClient.ts runAfterResponseCallbacks).
    """

    loses_credential_by: tuple[Event, ...] = (LockKeychain(),)
    unsaved = "ERR_KEY_CHAIN"
    """The error name of a call that failed because the credential of its answer cannot be saved."""

    def start(self, runtime: Runtime, token: Token) -> tuple[Output, ...]:
        """A fresh client, on a device that holds a credential and is not locked."""
        self._locked, self._holds = False, True
        self._carried: dict[RequestId, bool] = {}
        return super().start(runtime, token)

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """One transition of the model at `at` ms."""
        assert self.client is not None, "start comes first"
        lost = None
        match stimulus:
            case LockChanged(locked):
                self._locked = locked
            case TimerDue(timer):
                resends = dict(self.client.resends)
                lost = resends[timer].request if timer in resends else None
            case Replied(request, outcome) if outcome in RENEWS and self._locked:
                # The network layer fails after the reply, as it does on an unreadable one.
                outputs = self._react(Replied(request, Outcome.GATEWAY_PAGE), at)
                return self._after_the_store(map(self._failed, outputs))
            case Replied(_, outcome) if outcome in RENEWS:
                self._holds = True
        return self._after_the_store(self._react(stimulus, at), lost)

    def _react(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """What @clerk/clerk-js does."""
        return super().feed(stimulus, at)

    def _after_the_store(self, outputs: Iterable[Output], lost: RequestId | None = None) -> tuple[Output, ...]:
        """A request is sent once the store has been read; whatever does not wait for that comes first."""
        sent = self._carrying(outputs, lost)
        return tuple(sorted(sent, key=lambda output: isinstance(output, RequestSent)))

    def _carrying(self, outputs: Iterable[Output], lost: RequestId | None) -> tuple[Output, ...]:
        """The same, with the credential of each request."""
        return tuple(self._sent(output, lost) for output in outputs)

    def _failed(self, output: Output) -> Output:
        """The output; if it settles a call with an error, with that of the store instead."""
        ended = isinstance(output, CallSettled) and output.error
        return replace(output, error=self.unsaved) if ended else output

    def _sent(self, output: Output, lost: RequestId | None = None) -> Output:
        """The request with its credential: that of the `lost` request which it repeats, or else that in the
        store."""
        if not isinstance(output, RequestSent):
            return output
        if lost is None:
            self._holds = self._holds and not self._locked
        carried = self._holds if lost is None else self._carried[lost]
        self._carried[output.request] = carried
        return replace(output, credential=carried)


class MemoryModel(ExpoModel):
    """The same of a client that keeps the credential in memory alone, which no lock keeps back: it is gone when
    the app starts again.

    That is the singleton of releases up to 3.6.2, if it is made without a token cache; it keeps that of memory
    when the provider brings another one (createClerkInstance.ts, MemoryTokenCache.ts).
    """

    loses_credential_by = (StartApp(), RestartApp())

    def feed(self, stimulus: Stimulus, at: Millis) -> tuple[Output, ...]:
        """One transition of the model at `at` ms."""
        match stimulus:
            case LockChanged():
                return ()
            case Started():
                self._holds = False
        return super().feed(stimulus, at)

    def _after_the_store(self, outputs: Iterable[Output], lost: RequestId | None = None) -> tuple[Output, ...]:
        """What is in memory is read at once."""
        return self._carrying(outputs, lost)
