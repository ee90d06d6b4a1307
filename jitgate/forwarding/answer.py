"""The gateway's answer to CONNECT, read just far enough to know whether there is a tunnel.

Its bytes are passed on as they are. No input or output happens here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from jitgate.errors import GatewayUnreachable

ANSWER_HEAD = 16 * 1024
"""Bytes of the answer's head. The gateway's have a few hundred."""

DETAIL = 500
"""Characters of a reason that are shown; the gateway's are sentences."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([2-5][0-9]{2})(?: [^\r\n\0]*)?\r\n")
_BEGINNING = b"HTTP/1."
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose head is whole, with all bytes that came, head and what follows."""

    established: bool
    data: bytes

    @property
    def why(self) -> str:
        """Why there is no tunnel: the problem's detail as far as it has come, else the status."""
        head, _, body = self.data.partition(_END)
        try:
            said = json.loads(body)["detail"]
        except (ValueError, KeyError, TypeError, RecursionError):
            said = None
        if not isinstance(said, str):
            said = f"its answer is {head[9:12].decode('ascii', 'replace')}"
        return "".join(each if each.isprintable() else "?" for each in said[:DETAIL])


class AnswerReader:
    """Reads one answer, wherever its bytes are cut. ``gateway`` names it in what is raised."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._held = b""

    def feed(self, data: bytes) -> Answer | None:
        """The answer once its head is whole. Raises `GatewayUnreachable` if it is none."""
        self._held += data
        if not self._held.startswith(_BEGINNING[: len(self._held)]):
            raise self._strange()
        end = self._held.find(_END, 0, ANSWER_HEAD)
        if end < 0:
            if len(self._held) >= ANSWER_HEAD:
                raise self._strange()
            return None
        line = _STATUS_LINE.match(self._held)
        if line is None:
            raise self._strange()
        return Answer(line[1].startswith(b"2"), self._held)

    def _strange(self) -> GatewayUnreachable:
        return GatewayUnreachable(
            f"What answers at {self._gateway} is no proxy: check the address, and whether it is "
            "http or https."
        )
