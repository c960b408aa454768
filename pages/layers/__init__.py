"""The Layers page: where in the networks the forgetting happened."""
