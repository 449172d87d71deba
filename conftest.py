"""Loads the pytest plugin in a checkout where nothing is installed; the rest is in `properties/plugin/`."""

pytest_plugins = ("properties.plugin",)
