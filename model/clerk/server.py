"""Clerk's honest server (the Frontend API): its state but for whether the session is valid.

Known gaps: the user is a member of every organization. A token made by a template is for none.
"""

from __future__ import annotations

from msgspec.structs import replace

from model import operations, sdk, terms
from model.clerk.terms import SwitchOrganization, TokenId
from model.requests import ENDED, FAILURES, Ending, Endpoint, Outcome

ANYWHERE = (*FAILURES, Outcome.RETRY_AFTER, Outcome.BLOCKED)
"""How a request to any endpoint can end, beside what the server answers."""

OUTCOMES: dict[Endpoint, tuple[Outcome, ...]] = {
    # POST /client/sessions/:id/tokens[/:template]
    Endpoint.MINT: (Outcome.GRANTED, *ANYWHERE, *ENDED, Outcome.STALE_TOKEN, Outcome.FOREIGN_TOKEN),
    # GET /client
    Endpoint.INTROSPECT: (
        Outcome.SESSION,
        *ANYWHERE,
        Outcome.UNAUTHORIZED,
        Outcome.NO_SESSION,
        Outcome.STALE_TOKEN,
    ),
    # GET /environment
    Endpoint.CONFIGURE: (Outcome.SETTINGS, *ANYWHERE),
    # POST /client/sessions/:id/touch: the client comes back with the session
    Endpoint.MUTATE: (Outcome.SESSION, *ANYWHERE, *ENDED, Outcome.STALE_TOKEN, Outcome.LEAN_SESSION),
    # POST /client/sign_ins: the client comes back with the session
    Endpoint.SIGN_IN: (Outcome.SESSION, *ANYWHERE, Outcome.UNAUTHORIZED),
    # DELETE /client/sessions
    Endpoint.SIGN_OUT: (Outcome.NO_SESSION, *ANYWHERE, Outcome.UNAUTHORIZED),
}
"""Every way in which a request to each endpoint can end."""

REFUSALS: dict[Ending, Outcome] = {
    Ending.REVOKED: Outcome.UNAUTHORIZED,  # 401 authentication_invalid
    Ending.BANNED: Outcome.FORBIDDEN,  # 403 user_banned
    Ending.GONE: Outcome.NOT_FOUND,  # 404 resource_not_found
}
"""What the server says to a request about a session that has ended so; GET /client has no session then."""


class Server(sdk.ServerStruct, frozen=True):
    """The session's active organization, on the server and in the app. None is the personal workspace."""

    organization: str | None = None  # the active one, as far as the server has been told
    chosen: str | None = None  # the one that the app has chosen last

    def outcomes(self, endpoint: Endpoint) -> tuple[Outcome, ...]:
        """Every way in which a request can end."""
        return OUTCOMES[endpoint]

    def honest(self, endpoint: Endpoint) -> Outcome:
        """A sign-out is answered with a client without sessions."""
        return Outcome.NO_SESSION if endpoint is Endpoint.SIGN_OUT else super().honest(endpoint)

    def refusal(self, endpoint: Endpoint, ending: Ending = Ending.REVOKED) -> Outcome:
        """How the session ended decides the status."""
        honest = super().refusal(endpoint)
        return REFUSALS[ending] if honest is Outcome.UNAUTHORIZED else honest

    def entered(self) -> Server:
        """In the personal workspace."""
        return Server()

    @property
    def session_token(self) -> TokenId:
        """The token for the active organization."""
        return TokenId(organization=self.organization)

    @property
    def session_tokens(self) -> tuple[TokenId, ...]:
        """The tokens for both organizations, until the server is told of the app's choice."""
        return tuple(dict.fromkeys((self.session_token, TokenId(organization=self.chosen))))

    @property
    def keychain(self) -> bool:
        """It does: on a phone, the client JWT."""
        return True

    def authenticates(self, token_id: terms.TokenId) -> bool:
        """A token is a session token if no template made it."""
        return isinstance(token_id, TokenId) and token_id.template is None

    def brings(self, endpoint: Endpoint, token_id: terms.TokenId) -> terms.TokenId:
        """GET /client, and a sign-in, bring the token for the active organization; other requests, what they ask
        for."""
        return self.session_token if endpoint in (Endpoint.INTROSPECT, Endpoint.SIGN_IN) else token_id

    def acted(self, endpoint: Endpoint, token_id: terms.TokenId) -> Server:
        """A touch makes the organization active that it names."""
        if endpoint is Endpoint.MUTATE and isinstance(token_id, TokenId):
            return (
                self
                if token_id.organization == self.organization
                else replace(self, organization=token_id.organization)
            )
        return self

    def called(self, operation: operations.Operation) -> Server:
        """A switch chooses an organization."""
        if isinstance(operation, SwitchOrganization) and operation.organization != self.chosen:
            return replace(self, chosen=operation.organization)
        return self

    def without_choice(self) -> Server:
        """What the app has chosen decides nothing else."""
        return replace(self, chosen=self.organization)

    def restarted(self) -> Server:
        """A choice of which the server has not been told is forgotten."""
        return replace(self, chosen=self.organization)
