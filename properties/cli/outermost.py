"""The outermost function of every command: whatever ends it, one line and an exit code say so."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click
from click.shell_completion import shell_complete

from properties.system.failures import heed_interrupts, is_defect, told, written_out
from properties.system.trace import print_unsaved

PROGRAM = "sessionproof"
COMPLETION = "_SESSIONPROOF_COMPLETE"


class Commands(click.Group):
    """A group of commands. Each exits with 0 (holds), 1 (violated) or 2 (no answer: usage or environment); with
    130 or 143 if it is interrupted or terminated."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **__: Any) -> NoReturn:
        """Run the command that `args` name; by default, that of the command line."""
        heed_interrupts()
        try:
            with written_out():
                try:
                    code = self._run(list(sys.argv[1:] if args is None else args))
                finally:
                    print_unsaved(click.echo)
        except BaseException as error:
            line, code = told(error)
            with contextlib.suppress(OSError):  # stderr may be closed, too
                if is_defect(error):
                    traceback.print_exc()
                click.echo(f"{PROGRAM}: {line}", err=True)
        sys.exit(code)

    def _run(self, args: list[str]) -> int:
        """The exit code. click's own `main` exits with 1 where nobody reads the output."""
        if instruction := os.environ.get(COMPLETION):
            return shell_complete(self, {}, PROGRAM, COMPLETION, instruction)
        try:
            with self.make_context(PROGRAM, args) as context:
                self.invoke(context)
        except click.exceptions.Exit as end:
            return end.exit_code
        except click.ClickException as error:
            error.show()
            return 2
        except SystemExit as end:
            return int(end.code or 0)
        return 0
