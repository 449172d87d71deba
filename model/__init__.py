"""The formal model: a session client, the world around it, and what that world may do.

Pure throughout: frozen values in, frozen values out; no clock, no chance, no input or output. Read
`transition.py` first (the client; its shapes are in `client.py`), then `course.py` (everything else; its shapes
are in `world.py`), then `catalogue.py` (what may go wrong).
"""

from model.assumptions.catalogue import ASSUMPTIONS, Assumption
from model.assumptions.sets import Assumptions
from model.clerk.policy import POLICIES, Policy
from model.clerk.state import Client
from model.clerk.transition import sign_in, step
from model.terms import Endpoint, Outcome, Runtime, Token
from model.world.events import (
    Advance,
    Answer,
    Event,
    Freeze,
    FreezeKind,
    GetToken,
    GoOffline,
    GoOnline,
    LockKeychain,
    RestartApp,
    Revoke,
    SetClock,
    SwitchOrganization,
    Touch,
    UnlockKeychain,
)
from model.world.state import NotEnabled, World

__all__ = [
    "ASSUMPTIONS",
    "POLICIES",
    "Advance",
    "Answer",
    "Assumption",
    "Assumptions",
    "Client",
    "Endpoint",
    "Event",
    "Freeze",
    "FreezeKind",
    "GetToken",
    "GoOffline",
    "GoOnline",
    "LockKeychain",
    "NotEnabled",
    "Outcome",
    "Policy",
    "RestartApp",
    "Revoke",
    "Runtime",
    "SetClock",
    "SwitchOrganization",
    "Token",
    "Touch",
    "UnlockKeychain",
    "World",
    "sign_in",
    "step",
]
