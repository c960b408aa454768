"""Parts that three or more pages use: no page, no torch, no maths."""
