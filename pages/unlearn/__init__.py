"""The Unlearn page: methods, runs, requests in a row, and runs side by side."""
