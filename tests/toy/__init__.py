"""A toy SDK, to show what another SDK than the built-in one needs: a bundle, its glue, and a fake server."""
