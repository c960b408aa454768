"""The Predictions page: what the networks answer now."""
