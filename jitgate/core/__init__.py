"""What decides: pure functions and machines, free of Twisted, clock, disk, network, randomness."""
