"""The sandbox of ``jitgate demo``."""
