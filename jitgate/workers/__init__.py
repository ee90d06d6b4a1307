"""Several processes that serve as one gateway: the control process, and the workers it starts.

Workers carry exchanges. The control process has everything of which there is one: the site log,
the ways to people, the admin port, the control socket. `wire` is what they say to each other,
`crew` and `member` are the control process's side, `bond` is a worker's, and by `share` they share
the port.
"""
