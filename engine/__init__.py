"""Forgetscope's engine: a library that trains, unlearns and measures ensembles, and has never heard of a screen.

Imports only go down (``docs/architecture.md``): level 0 words (knobs, registry, records), level 1 learning,
level 2 running, level 3 showing.
"""
