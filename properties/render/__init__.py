"""Renderings of a counterexample: each is one function of a value, and prints nothing."""
