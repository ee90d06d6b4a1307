"""jitgate: a gateway that lets autonomous agents use privileged APIs without holding a key."""
