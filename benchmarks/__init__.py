"""Scripts that measure, one file per question."""
