"""The Methods page: one card a method."""
