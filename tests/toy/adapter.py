"""What else the harness has to know of the toy. Name it by SESSIONPROOF_SDK=tests.toy.adapter:TOY_ADAPTER."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from model.requests import Endpoint
from properties.targets.adapter import FileAdapter
from properties.targets.server import FakeServer
from tests.toy.sdk import TOY

HERE = Path(__file__).parent


class ToyServer(FakeServer):
    """One endpoint, which mints."""

    issuer = "toy"
    endpoints: Mapping[str, Endpoint] = {"POST /token": Endpoint.MINT}

    def body(self, jwt: str) -> str:
        """The token alone."""
        return json.dumps({"token": jwt})


TOY_ADAPTER = FileAdapter(TOY, HERE / "glue.mjs", ToyServer, HERE / "bundle.cjs")
