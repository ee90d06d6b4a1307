"""Edge: where checkpoints of the recording are kept, out of this machine's reach."""
