"""What the HTTP/1.1 readers say, written down as short words: the notation of tests/vectors/http1."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from jitgate.core.http1_reading import Data, End, Event, Request, Response, Tunnel
from jitgate.errors import HeadTooLarge
from jitgate.values import Headers

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "http1"


def notation(events: Iterable[Event]) -> list[str]:
    """One word group for each event; neighbouring pieces of a body are one, so cuts do not show.

    ``GET /x 0`` a request and its body's length (``?`` in chunks or unknown), ``last`` if no other
    follows, ``expects``; ``200 2`` a response, ``100 interim``; ``= hi`` content; ``.`` the end,
    with trailers, ``once`` if the connection ends too; ``CONNECT a:443 + rest``; ``! malformed`` or
    ``! 431`` a fault.
    """
    said: list[str] = []
    for event in events:
        word = _word(event)
        if word.startswith("= ") and said and said[-1].startswith("= "):
            said[-1] += word[2:]
        else:
            said.append(word)
    return said


def _word(event: Event) -> str:
    match event:
        case Data():
            word = f"= {event.data.decode('latin-1')}"
        case Request():
            word = _request(event)
        case Response():
            length = "interim" if event.interim else _length(event.head.length)
            word = f"{event.head.status} {length}"
        case End():
            word = " ".join([".", *_fields(event.trailers), *([] if event.reusable else ["once"])])
        case Tunnel():
            word = f"CONNECT {event.request.head.target} + {event.rest.decode('latin-1')}"
        case _:
            word = "! 431" if isinstance(event, HeadTooLarge) else "! malformed"
    return word


def _request(event: Request) -> str:
    head = event.head
    words = [head.method, head.target, _length(head.length)]
    words += [] if event.keep_alive else ["last"]
    words += ["expects"] if head.expects_continue else []
    return " ".join(words)


def _length(length: int | None) -> str:
    return "?" if length is None else f"{length}"


def _fields(fields: Headers) -> list[str]:
    return [f"{name.decode('latin-1')}={value.decode('latin-1')}" for name, value in fields]


def messages(name: str) -> dict[str, tuple[bytes, list[str]]]:
    """The vectors of that name: a message's bytes, and the events it must be read as."""
    cases = json.loads((VECTORS / f"{name}.json").read_text("ascii"))
    return {each: (case["bytes"].encode("latin-1"), case["events"]) for each, case in cases.items()}
