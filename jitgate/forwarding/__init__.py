"""Edge: the agent's side of the hop to the gateway: the loopback forwarder of `jitgate exec`."""
