"""The formal model: the client of an SDK, the world around it, and what that world may do.

All functions are pure: frozen values in, frozen values out; no clock, no randomness, no input or output. Read it
in this order:

    terms.py            the vocabulary: time, runtimes, sessions, tokens
    requests.py         what a request asks for, and how it ends
    operations.py       the calls that an app may make
    io.py               what passes between the world and a client: stimuli and outputs
    app.py              what the app does
    step.py             the transition relation of the whole system: Init, Next, and what is proved of it
    sdk.py              the boundary: what a package of one SDK has to provide
    world/              clock, operating system, network, server session: state, events, facts, then possible
                        (when an event can happen), course and replies (what it does), and outputs (what those of
                        the client do)
    assumptions/        what may go wrong: landmarks, the catalogue, and sets of assumptions
    clerk/              the client of @clerk/clerk-js: transition, state, cache, session, network, loading,
                        sign_in_out; then policy, server and canonical

notation.py, form.py and parts.py have the short form of events, the canonical form of a client, and its parts:
skip them at first.
"""
