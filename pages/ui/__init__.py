"""Helpers of the pages: no page, no torch, no maths."""
