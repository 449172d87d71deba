"""The pytest plugin: one test for each target, set of assumptions and invariant.

A checkout loads it by its `conftest.py`, an installation by `launch/sessionproof.py`, if a run names our tests.
"""

pytest_plugins = (
    "properties.plugin.profiles",
    "properties.plugin.workers",
    "properties.plugin.ending",
    "properties.plugin.options",
    "properties.plugin.observers",
    "properties.plugin.report",
)
