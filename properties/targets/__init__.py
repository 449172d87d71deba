"""The systems under test: the model, and one adapter for each SDK."""
