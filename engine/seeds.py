"""Random streams: every number drawn anywhere comes from (seed, role, model number), never from a global generator."""

from __future__ import annotations

import hashlib


def derive(seed: int, role: str, number: int = 0) -> int:
    """Return a 63-bit seed that depends on all three arguments and on nothing else.

    Different roles ("original", "oracle", "unlearn:scrub" ...) give unrelated streams for the same model number.
    """
    text = f"{seed}/{role}/{number}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
