"""httpbin as a WSGI application, and three things that it lacks."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator

from flask import Response, jsonify
from httpbin import app

PATIENCE = 10.0
"""Seconds that the second event waits for the first one to be seen."""

_seen: defaultdict[str, threading.Event] = defaultdict(threading.Event)
_asked: Counter[str] = Counter()


def _events(key: str) -> Iterator[str]:
    yield "data: first\n\n"
    yield "data: second\n\n" if _seen[key].wait(PATIENCE) else "data: nobody saw the first\n\n"


@app.get("/events/<key>")
def events(key: str) -> Response:
    """Two server-sent events; the second waits until somebody says that the first was seen."""
    return Response(_events(key), content_type="text/event-stream")


@app.get("/seen/<key>")
def seen(key: str) -> Response:
    """Say so."""
    _seen[key].set()
    return jsonify(key=key)


@app.route("/slow-down/<int:status>/<path:key>", methods=["GET", "POST"])
def slow_down(status: int, key: str) -> Response:
    """The status with Retry-After at the first time, then how many times it was asked for."""
    _asked[key] += 1
    answer = jsonify(asked=_asked[key], ok=True)
    if _asked[key] == 1:
        answer.status_code = status
        answer.headers["Retry-After"] = "1"
    return answer


@app.route("/in-html/<path:_>", methods=["GET", "POST"])
def in_html(_: str) -> Response:
    """Something has been made, or is there, and a page says so."""
    return Response("<p>ada@acme.example</p>", status=201, content_type="text/html")
