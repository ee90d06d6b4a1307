"""Edge: where entries are kept, and how they are read again."""
