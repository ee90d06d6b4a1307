"""Edge: where agents come in."""
