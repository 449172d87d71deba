"""The `sessionproof` command. `check` is the main job; `replay` and `explain` show what it found.

Exit codes: 0 holds, 1 violated, 2 usage or environment error (one line: what is wrong and what to do).
"""

from __future__ import annotations

import click

from properties.cli.bisect import bisect
from properties.cli.campaign import campaign
from properties.cli.condition import condition
from properties.cli.conformance import conform, tour
from properties.cli.gate import baseline, check, gate
from properties.cli.outermost import Commands
from properties.cli.proofs import matrix, prove
from properties.cli.releases import advise, releases
from properties.cli.sensitivity import sensitivity
from properties.cli.traces import explain, replay


@click.group(cls=Commands)
@click.version_option(package_name="sessionproof")
def main() -> None:
    """Can a background timer sign a user out while the server still holds the session valid?"""


for command in (
    check,
    gate,
    baseline,
    replay,
    explain,
    advise,
    campaign,
    prove,
    condition,
    matrix,
    conform,
    tour,
    sensitivity,
    bisect,
    releases,
):
    main.add_command(command)
