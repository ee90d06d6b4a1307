"""Edge: connections to the targets."""
