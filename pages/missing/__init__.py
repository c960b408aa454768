"""The Missing targets page: when each picture passes where it should stop."""
