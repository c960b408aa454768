"""The Inversion page: what can be drawn from the weights."""
