"""The targets: the model, and the builds of each SDK."""
