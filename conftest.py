"""Loads the pytest plugin in a checkout, installed or not. The rest is in `properties/plugin/`."""

pytest_plugins = ("properties.plugin",)
