"""The Attention page: where the networks look."""
