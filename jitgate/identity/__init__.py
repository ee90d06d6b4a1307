"""Edge: who the agent is."""
