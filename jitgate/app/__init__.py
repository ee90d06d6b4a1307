"""Puts the gateway together: the only room that names concrete classes.

What it makes is one Twisted service, whose parts the configuration's ``services`` switches and
orders. `assembly` is the whole, around the flow that `story` makes; the others make one thing each
that the configuration describes.
"""

from jitgate.app.assembly import check, make_service

__all__ = ["check", "make_service"]
