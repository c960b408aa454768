"""The Runs page: finding, deleting and downloading runs."""
