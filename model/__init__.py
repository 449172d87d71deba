"""The formal model: the client of an SDK, the world around it, and what that world may do.

All functions are pure: frozen values in, frozen values out; no clock, no randomness, no input or output. Read it
in this order:

    terms.py            the vocabulary: time, tokens, stimuli, outputs
    step.py             the transition relation of the whole system: Init, Next, and what is proved of it
    sdk.py              the boundary: what a package of one SDK has to provide
    world/              clock, operating system, network, server session: state, events, facts, then course (what
                        an event does) and outputs (what the client's outputs do)
    assumptions/        what may go wrong: landmarks, the catalogue, and sets of assumptions
    clerk/              the client of @clerk/clerk-js: begin with transition.py
"""
