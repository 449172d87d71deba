"""Clerk's vocabulary: token ids, operations, and the numbers of the SDK.

Paths in comments are relative to packages/clerk-js/src/core in clerk/javascript.
"""

from __future__ import annotations

from msgspec.structs import replace

from model import operations, terms
from model.notation import NUMBER, Parameter, flag, text
from model.terms import Seconds, Timings

PERSONAL = ""
"""What the app passes as `organizationId` for the personal workspace, which is no organization."""


class TokenId(terms.TokenIdStruct, frozen=True):
    """Which token: made by a template, or not; for an organization, or for none. The session token has no
    template, and is for the session's active organization, if there is one.

    The SDK's word for the key of its cache (utils/tokenId.ts).
    """

    template: str | None = None
    organization: str | None = None

    @property
    def requested(self) -> TokenId:
        """What a request for this token names: with a template, no organization."""
        return replace(self, organization=None) if self.template and self.organization else self

    def __str__(self) -> str:
        return "-".join(filter(None, (str(self.session), self.template, self.organization)))


SESSION_TOKEN = TokenId()
"""The token of the first session, without an active organization."""


def key(token: terms.Token) -> TokenId:
    """The id of a token, in Clerk's own type: the key of its slot."""
    assert isinstance(token.token_id, TokenId), f"{token!r} is no token of Clerk's"
    return token.token_id


TIMINGS = Timings(lifetime=60, lead=15 + 2, cutoff=5)
"""tokenCache.ts: a refresh timer runs 15 s (the background refresh threshold) plus 2 s (its lead) before expiry.
A read that finds 5 s or less left drops the entry and counts as a miss."""

PAGE_TIMINGS = Timings(lifetime=60, lead=15 + 2, cutoff=5, ticker=5_000, focused_ticker=1_500)
"""On a page a poller looks at the session every 5 s, and since 6.25.9 every 1.5 s in a tab that has the focus
(SessionCookiePoller.ts)."""


RETRY_AFTER: Seconds = 30
"""What the header of a 429 says that has one."""


class GetToken(operations.OperationStruct, frozen=True):
    """The app calls `session.getToken({template, organizationId, skipCache})`. An `organization` of None means
    the active one, `PERSONAL` the personal workspace."""

    template: str | None = None
    skip_cache: bool = False
    organization: str | None = None

    verb = "getToken"
    parameters = (
        Parameter("template", text("api"), label="template", default=None),
        Parameter("organization", text("org_b", personal=PERSONAL), label="organization", default=None),
        flag("skip_cache", "skipCache"),
    )

    @property
    def token_id(self) -> TokenId:
        """The token that it is for while the personal workspace is active; `Client.meant` has the general
        rule."""
        return TokenId(self.template, self.organization or None)

    @property
    def wants_session_token(self) -> bool:
        """It is for the token of the active organization, if it names neither template nor organization."""
        return self.template is None and self.organization is None

    @property
    def phrase(self) -> str:
        """As in `getToken for template 'api', skipping the cache`."""
        words = [f"template '{self.template}'"] if self.template else []
        words += [workspace(self.organization)] if self.organization is not None else []
        which = f" for {' and '.join(words)}" if words else ""
        return f"{self.verb}{which}{', skipping the cache' * self.skip_cache}"


class Touch(operations.OperationStruct, frozen=True):
    """The app calls `session.touch()`, to say that the session is in use."""

    verb = "touch"
    gives_token = False
    token_id = SESSION_TOKEN  # in name only: a touch is not for a token


class SwitchSession(operations.OperationStruct, frozen=True):
    """The app calls `setActive({session})` with another session of this device."""

    verb = "setActiveSession"
    gives_token = False
    enters = True
    token_id = SESSION_TOKEN


class SignIn(operations.OperationStruct, frozen=True):
    """The app signs a user in: it creates a sign-in, and makes its session the active one with
    `setActive({session})`. The users are 1, who has the first session, and 2."""

    user: int = 1

    verb = "signIn"
    gives_token = False
    enters = True
    parameters = (Parameter("user", NUMBER, label="user"),)
    token_id = SESSION_TOKEN

    @property
    def phrase(self) -> str:
        """As in `signIn as user 2`."""
        return f"{self.verb} as user {self.user}"


class SignOut(operations.OperationStruct, frozen=True):
    """The app calls `signOut()`: it leaves every session of this device."""

    verb = "signOut"
    gives_token = False
    leaves = True
    token_id = SESSION_TOKEN


class SwitchOrganization(operations.OperationStruct, frozen=True):
    """The app calls `setActive({organization})`; None is the personal workspace."""

    organization: str | None = None

    verb = "setActive"
    gives_token = False
    parameters = (Parameter("organization", text("org_b", personal=None)),)
    changes_session = True

    @property
    def token_id(self) -> TokenId:
        """The token that becomes the session's own."""
        return TokenId(organization=self.organization)

    @property
    def phrase(self) -> str:
        """As in `setActive to organization 'org_b'`."""
        return f"{self.verb} to {workspace(self.organization)}"


def workspace(organization: str | None) -> str:
    """`organization 'org_b'`, or the personal workspace."""
    return f"organization '{organization}'" if organization else "the personal workspace"


OPERATIONS: tuple[operations.Operation, ...] = (
    GetToken(),
    GetToken(skip_cache=True),
    GetToken(template="api"),
    GetToken(organization="org_b"),
    GetToken(organization=PERSONAL),
    Touch(),
    SwitchOrganization("org_b"),
    SwitchOrganization(None),
    SignOut(),
    SignIn(1),
    SignIn(2),
    SwitchSession(),
)
"""The operations of an app, with the arguments worth trying. The first asks for the session's token."""
