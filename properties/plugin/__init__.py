"""The pytest plugin: one test for each target, set of assumptions and invariant.

An installation loads it by its entry point, a checkout by its `conftest.py`. The entry point is named as this
module, so that pytest registers it once where both apply. Other tests of a run are as they would be without it:
it adds no fixture, no Hypothesis profile and no report.
"""

pytest_plugins = (
    "properties.plugin.profiles",
    "properties.plugin.workers",
    "properties.plugin.options",
    "properties.plugin.observers",
    "properties.plugin.report",
)
