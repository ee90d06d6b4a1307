"""Edge: where humans answer."""
