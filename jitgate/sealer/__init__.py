"""The sealer: a small privileged process that makes segments of a recording write-once.

It alone has CAP_LINUX_IMMUTABLE. The gateway asks it over a Unix socket, and can have flags set and
never cleared. It imports the standard library and nothing else of ours, so that all that runs with
its power is read in a quarter of an hour. docs/write-once.md says how it is set up.
"""
