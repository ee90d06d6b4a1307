"""Edge: what a target needs to accept a call."""
