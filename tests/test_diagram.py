"""The diagram in docs/model.md: what the model does now."""

from __future__ import annotations

import pytest

from properties.prove import diagram


@pytest.mark.slow
def test_the_diagram_in_the_documentation_is_that_of_the_model() -> None:
    """`python -m properties.prove.diagram` writes it there."""
    assert diagram.text() in diagram.PAGE.read_text(encoding="utf-8")
