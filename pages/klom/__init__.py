"""The KLOM page: the headline, the points behind it, and whether it was enough."""
