"""What a connection is given instead of a socket."""

from __future__ import annotations


class Wire:
    """A transport that keeps what it is given."""

    def __init__(self):
        self.data = b""
        self.ended = None

    def write(self, data):
        self.data += data

    def registerProducer(self, producer, streaming): ...

    def unregisterProducer(self): ...

    def pauseProducing(self): ...

    def resumeProducing(self): ...

    def loseConnection(self):
        self.ended = "orderly"

    def abortConnection(self):
        self.ended = "cut"

    def when_sent(self, call):
        call()

    def hang_up(self): ...

    def getHandle(self):
        return self

    def get_servername(self):
        return b"api.example"
