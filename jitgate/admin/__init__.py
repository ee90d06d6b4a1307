"""Edge: health, for those who watch the gateway. Nothing here decides."""
