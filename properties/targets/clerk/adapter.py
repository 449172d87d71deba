"""The adapter of Clerk's SDKs: @clerk/clerk-js, alone or wrapped by @clerk/expo on a phone."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from model.assumptions.sets import Assumptions
from model.clerk import policy as clerk
from model.clerk.sdk import CLERK
from model.clerk.terms import GetToken
from model.sdk import Policy
from model.terms import Millis, Runtime
from model.world.facts import Fact
from properties.system.target import Target
from properties.system.trace import Trace
from properties.targets import npm
from properties.targets.adapter import Adapter, Benchmark, Compared, Reproduction, Say
from properties.targets.clerk import expo, invariants
from properties.targets.clerk.builds import CLERK_JS, EXPO, INSTALLED
from properties.targets.clerk.expo import JUDGED, ExpoTarget, model_of
from properties.targets.clerk.expo_model import ExpoModel
from properties.targets.clerk.logs import logs
from properties.targets.clerk.target import PARTITIONED_COOKIES, bundle_target, clerk_js_target
from properties.targets.model import ModelTarget
from properties.targets.names import UnknownName

BUILD_PREFIX, PHONE_PREFIX, FILE_PREFIX, MODEL_PREFIX = "clerk-js@", "expo@", "path:", "model@"
SCOPE = "@clerk/"
POLICY_PREFIX = "CLERK_JS_"
"""The prefix of the names of released policies; the version follows, as `6_7_1`."""


SETUPS = {EXPO.short: expo.SETUPS, CLERK_JS.short: (PARTITIONED_COOKIES,)}
"""How an app may be set up, by the package that it installs; the name stands at the end of a target."""


class ClerkAdapter(Adapter):
    """Specs: `clerk-js@VERSION` is a release, `expo@VERSION` one of Expo around the release that it was published
    with, `expo@VERSION+clerk-js@VERSION` around another, `path:FILE` a bundle in a file. A release may have its
    name on npm: `@clerk/expo@VERSION`. It may end with one of the package's `SETUPS`:
    `expo@VERSION+rejecting-cache`."""

    sdk = CLERK
    forms = (
        *(f"{BUILD_PREFIX}VERSION", f"{PHONE_PREFIX}VERSION", f"{PHONE_PREFIX}VERSION+{BUILD_PREFIX}VERSION"),
        f"{FILE_PREFIX}FILE",
    )
    folder = Path(__file__).parent
    checked = (f"{POLICY_PREFIX}6_7_1", f"{POLICY_PREFIX}6_7_4", f"{POLICY_PREFIX}6_40_0")
    """The last release before the guard of #8303, the first with it, and the newest pinned one."""
    packages = INSTALLED
    benchmark = Benchmark(
        f"{BUILD_PREFIX}6.40.0",
        "background-never-destroys-valid-session",
        Assumptions(("starvation", "stale-after-expiry")),
        timed=("CLERK_JS_6_7_4", (GetToken("api"),)),
        untimed=("FIX_QUIET_BACKGROUND", (GetToken(organization="org_b"),)),
        cells=(
            *("starvation", "starvation,stale-after-expiry", "starvation,revocation"),
            *("revocation", "outage", "calm"),
        ),
    )
    invariants = invariants.OWN
    """The invariants of this SDK alone."""

    def target(self, spec: str, say: Say) -> Target | None:
        """Raises `UnknownName` if the version or the file is missing."""
        parts = _parts(spec)
        setup = parts.pop()[0] if parts[-1][0] in SETUPS.get(parts[0][0], ()) else ""
        match parts:
            case [("path:", file)] if file:
                return bundle_target(Path(file), say)
            case [("clerk-js", version)] if version:
                return clerk_js_target(version, say, setup)
            case [("expo", version)] if version:
                return ExpoTarget(version, say, setup=setup)
            case [("expo", version), ("clerk-js", inner)] if version and inner:
                return ExpoTarget(version, say, inner, setup)
            case [(kind, _), *_] if kind == FILE_PREFIX or kind in INSTALLED:
                raise UnknownName(f"unknown target '{spec}' (known forms: {', '.join(self.forms)})")
            case _:
                return None

    def existing(self, spec: str, say: Say) -> str:
        """Of each package, as npm has it."""
        for name, version in _parts(spec):
            if name in INSTALLED and version:
                spec = spec.replace(f"{name}@{version}", f"{name}@{npm.existing(INSTALLED[name], version, say)}")
        return spec

    def judged(self, spec: str) -> tuple[str, ...]:
        """What an app of a setup brings into question."""
        return JUDGED.get(_parts(spec)[-1][0], ())

    def model(self, spec: str, policy: Policy) -> ModelTarget:
        """For Expo, the model includes what Expo adds, as far as there is one for an app of this setup."""
        (package, version), *others = _parts(spec)
        if package != EXPO.short:
            return ModelTarget(self.sdk, policy)
        setup = others[-1][0] if others and others[-1][0] in SETUPS[package] else ""
        assert isinstance(policy, clerk.Policy), f"{policy.name} is no policy of Clerk's"
        return model_of(version, setup, policy) or ExpoModel(self.sdk, policy)

    def runtimes(self, package: str) -> tuple[Runtime, ...]:
        """Expo's code runs on a phone alone."""
        return (Runtime.HEADLESS,) if package == EXPO.short else tuple(Runtime)

    def logs(self, facts: Sequence[Fact], end: Millis) -> tuple[str, ...]:
        """Of an app, and of the Frontend API."""
        return logs(facts, end)

    def released_versions(self) -> list[str]:
        """Of @clerk/clerk-js, on npm."""
        return npm.released_versions(CLERK_JS)

    def numbers(self, version: str) -> list[int]:
        """As npm orders them."""
        return npm.numbers(version)

    def release(self, version: str) -> str:
        """The build of @clerk/clerk-js."""
        return f"{BUILD_PREFIX}{version}"

    def build_of(self, policy_name: str) -> str | None:
        """By the version in the policy's name."""
        if not policy_name.startswith(POLICY_PREFIX):
            return None
        return self.release(policy_name.removeprefix(POLICY_PREFIX).replace("_", "."))

    def compared(
        self, trace: Trace, seeds: Sequence[int], traces: int, steps: int, say: Say
    ) -> Iterable[Compared]:
        """By fast-check, of releases of @clerk/clerk-js."""
        if not trace.target.startswith(BUILD_PREFIX):
            return ()
        # Imported here, because it imports what this module is imported by.
        peer = importlib.import_module("properties.targets.clerk.peer")
        found: Iterable[Compared] = peer.compared(trace, seeds, traces, steps, say)
        return found

    def reproduction(self, trace: Trace) -> Reproduction | None:
        """Of a release of @clerk/clerk-js, or of a bundle in a file. None for Expo, and on a page, because a
        script has no document. How the app is set up matters on a page alone."""
        build = self.build_of(trace.target.removeprefix(MODEL_PREFIX)) or trace.target
        if build.startswith(BUILD_PREFIX):
            build = build.removesuffix(f"+{PARTITIONED_COOKIES}")
        if trace.runtime.is_page or not build.startswith((BUILD_PREFIX, FILE_PREFIX)):
            return None
        # Imported here, because it imports the invariants, which import this module.
        repro = importlib.import_module("properties.targets.clerk.repro")
        version = build.removeprefix(BUILD_PREFIX) if build.startswith(BUILD_PREFIX) else None
        return Reproduction(repro.repro(trace, version), repro.commands(trace, version), repro.vitest(trace))


def _parts(spec: str) -> list[tuple[str, str]]:
    """The packages of a spec with their versions, outermost first, and a setup; of a bundle, prefix and path."""
    if spec.startswith(FILE_PREFIX):
        return [(FILE_PREFIX, spec.removeprefix(FILE_PREFIX))]
    parts = (part.removeprefix(SCOPE).partition("@") for part in spec.split("+"))
    return [(name, version) for name, _, version in parts]


CLERK_ADAPTER = ClerkAdapter()
