"""The machinery of the course: notebooks from sources, live checks, the wire to another process, progress."""
