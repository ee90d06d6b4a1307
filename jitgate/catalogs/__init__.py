"""Edge: what calls mean."""
