"""A trace as a standalone script, for maintainers who have Node and npm but not this harness.

The script is `repro.mjs` without the parts that the trace does not need. In it, `//: NAME ...` opens a part for
traces that need one of the names, `//: else` the part for all others, and `//: end` closes it.
"""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Collection, Iterator
from pathlib import Path

from model.clerk.terms import GetToken, SignIn, SignOut, SwitchOrganization, SwitchSession, Touch
from model.operations import Load, Operation
from model.requests import Ending, Outcome
from model.terms import Runtime
from model.world.events import (
    OF_REQUEST,
    Advance,
    Answer,
    CloseChannel,
    Deliver,
    Event,
    FreeLock,
    Freeze,
    GoOffline,
    GoOnline,
    HearTab,
    HoldLock,
    LockKeychain,
    Lose,
    RestartApp,
    Revoke,
    RevokeOther,
    Serve,
    SetClock,
    StartApp,
    TurnTo,
    UnlockKeychain,
)
from properties.invariants.catalogue import INVARIANTS, MARGIN
from properties.system.event_kinds import word
from properties.system.trace import Trace
from properties.system.wording import (
    LOCKS,
    LOSES_NETWORK,
    REGAINS_NETWORK,
    SAYS,
    UNLOCKS,
    ahead,
    duration,
    one_line,
)
from properties.targets.clerk.adapter import FILE_PREFIX
from properties.targets.clerk.builds import CLERK_JS

_TEMPLATE = Path(__file__).with_name("repro.mjs")
_WIDTH = 110
_DAY = 86_400_000
_ERRORS = {one for one in Outcome if one.status >= 400} - {Outcome.GATEWAY_PAGE}  # which has a page
_ABOUT_DROPS = ("background-never-destroys-valid-session", "valid-session-survives")
_NO_VERDICT = (
    "one-refresh-at-a-time",
    "refresh-chain-survives",
    "guard-is-headless-only",
    "one-start-retry-at-a-time",
    "only-the-app-signs-out",
    MARGIN,
)  # cannot be checked at the end of a trace
_PLACES = {Runtime.HEADLESS: "React Native", Runtime.BROWSER_LIKE: "a browser extension"}


def repro(trace: Trace, version: str | None) -> str:
    """The text of `repro.mjs`, which plays `trace` on the @clerk/clerk-js that is installed next to it, or on the
    bundle that its argument names.

    The script exits 1 if the trace violates its invariant, 0 if it does not, and 2 if it cannot tell: a package
    is missing, or only the harness can check the invariant. `version` is for a comment; None if the trace is of a
    bundle in a file. The browser runtime is not supported, because a script has no page.
    """
    what = f"{CLERK_JS.name} {version}" if version else trace.target
    does = "exits 1 while this happens, 0 when it no longer does, 2 when it cannot be tried"
    return _filled(trace, _needs(trace), what, (*commands(trace, version), does))


def commands(trace: Trace, version: str | None) -> tuple[str, ...]:
    """The shell commands that install what `repro.mjs` needs, and run it."""
    if version:
        return f"npm i {CLERK_JS.name}@{version} @sinonjs/fake-timers", "node repro.mjs"
    bundle = shlex.quote(one_line(trace.target.removeprefix(FILE_PREFIX)))
    return "npm i @sinonjs/fake-timers", f"node repro.mjs {bundle}"


def vitest(trace: Trace) -> str | None:
    """The text of a test file for the SDK's own repository: it plays `trace` on the package's build, and fails
    while the trace violates its invariant. None if only the harness can check the invariant."""
    needs = _needs(trace)
    if "unknown" in needs:
        return None
    usage = ("npx vitest run FILE", "in packages/clerk-js, after a build; CLERK_BUNDLE names another bundle")
    return "// @vitest-environment node\n" + _filled(trace, needs | {"vitest"}, trace.target, usage)


def _filled(trace: Trace, needs: Collection[str], what: str, usage: tuple[str, ...]) -> str:
    """The template with the parts that are needed. `what` has the defect; `usage` has commands, and what the last
    one does."""
    values = {
        "PLACE": _PLACES[trace.runtime],
        "TITLE": json.dumps(f"{trace.invariant}: {trace}"),
        "HEADER": _header(trace, what, usage),
        "STORY": textwrap.indent("\n".join(map(_tell, trace.events)), "    " * ("vitest" in needs)),
    }
    text = "\n".join(_lines(_TEMPLATE.read_text(encoding="utf-8"), needs)) + "\n"
    return re.sub(f"__({'|'.join(values)})__", lambda name: values[name[1]], text)


def _lines(template: str, needs: Collection[str]) -> Iterator[str]:
    kept = [True]
    for line in template.splitlines():
        match line.split():
            case ["//:", "else"]:
                kept[-1] = kept[-2] and not kept[-1]
            case ["//:", "end"]:
                kept.pop()
            case ["//:", *names]:
                kept.append(kept[-1] and any(name in needs for name in names))
            case _ if kept[-1]:
                yield line


def _needs(trace: Trace) -> set[str]:
    """The names of the parts that `trace` needs."""
    outcomes = {event.outcome for event in trace.events if isinstance(event, Answer | Serve)}
    lasts = sum(event.ms for event in trace.events if isinstance(event, Advance | Freeze))
    needs = {str(trace.runtime), *map(word, trace.events), *outcomes}
    if "restart" in needs:  # it is a start, with answers
        needs |= {"start", "answer", Outcome.SESSION, Outcome.NO_SESSION, Outcome.SETTINGS}
    if "restart" in needs or any(isinstance(event, OF_REQUEST) for event in trace.events):
        needs.add("requests")
    if not outcomes.isdisjoint(_ERRORS):
        needs.add("failure")
    if lasts >= _DAY:
        needs.add("days")
    if any(isinstance(one, SignIn | SignOut | SwitchSession) for one in trace.events):
        needs.add("sessions")
    if "setActive" in needs or any(isinstance(one, GetToken) and one.organization for one in trace.events):
        needs.add("organization")
    if trace.invariant in _ABOUT_DROPS:
        return needs | {"dropped"}
    judged = trace.invariant in INVARIANTS and not str(trace.invariant).startswith(_NO_VERDICT)
    return needs | {trace.invariant if judged and trace.invariant else "unknown"}


def _header(trace: Trace, what: str, usage: tuple[str, ...]) -> str:
    invariant = INVARIANTS.get(trace.invariant or "")
    *commands, run, does = usage
    why = trace.why or f"{trace.invariant} is violated"
    paragraphs = [f"{what}: {why}.", "", *(f"    {one}" for one in commands), f"    {run}    # {does}"]
    if invariant:
        paragraphs += ["", f"What should hold: {invariant.sentence}"]
    wrapped = [textwrap.wrap(one_line(paragraph), _WIDTH - len("// ")) or [""] for paragraph in paragraphs]
    return "\n".join(f"// {line}".rstrip() for lines in wrapped for line in lines)


def _tell(event: Event) -> str:
    """The event as a line of the script."""
    match event:
        case Advance(ms):
            arguments = [f"{ms:_}"]
        case Freeze(ms):
            arguments = [f"{ms:_}", f"'{duration(ms)}'"]
        case GetToken(template, skip_cache, organization):
            options = [f"template: {json.dumps(template)}"] * bool(template)
            options += [f"organizationId: {json.dumps(organization)}"] * (organization is not None)
            options += ["skipCache: true"] * skip_cache
            arguments = [f"{{ {', '.join(options)} }}"] * bool(options)
        case Answer(request, outcome) | Serve(request, outcome):
            arguments = [str(request), _quoted(SAYS[outcome])]
        case Deliver(request) | Lose(request):
            arguments = [str(request)]
        case SetClock(skew):
            arguments = [f"{skew:_}", f"'{ahead(skew)}'"]
        case LockKeychain() | UnlockKeychain():
            return f"tell('OS', {_quoted(LOCKS if isinstance(event, LockKeychain) else UNLOCKS)});"
        case GoOffline():
            return f"await connect(false, {_quoted(LOSES_NETWORK)});"
        case GoOnline():
            return f"await connect(true, {_quoted(REGAINS_NETWORK)});"
        case TurnTo() | HearTab() | HoldLock() | FreeLock() | CloseChannel():
            raise AssertionError("a script has no page")
        case Revoke(Ending.BANNED):
            arguments = ["'banned'"]
        case StartApp() | RestartApp() | Load() | Revoke() | Touch() | SignOut() | SwitchSession():
            arguments = []
        case SignIn(number) | RevokeOther(number):
            arguments = [str(number)]
        case SwitchOrganization(organization):
            arguments = [json.dumps(organization)]
        case Operation():
            raise AssertionError(f"{event!r} is no operation of Clerk's")
    remark = f" // {duration(event.ms)}" if isinstance(event, Advance) else ""
    return f"await {word(event)}({', '.join(arguments)});{remark}"


def _quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"
