"""The server around the pages: its start, its guard, the route that serves weights."""
