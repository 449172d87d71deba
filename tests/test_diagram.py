"""The diagram in the README: what the model does, and not what it did once."""

from __future__ import annotations

from properties.prove import diagram


def test_the_diagram_in_the_readme_is_that_of_the_model() -> None:
    """`python -m properties.prove.diagram` writes it there."""
    assert diagram.text() in diagram.README.read_text(encoding="utf-8")
