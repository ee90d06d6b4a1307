"""requests, as an agent would use it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import requests
from told import BLOCK, BLOCKS, DOWN, HTTPBIN, KEY, UNKNOWN, tell_all

session = requests.Session()


def read():
    return session.get(f"{HTTPBIN}/json").json()["slideshow"]


def write():
    return session.post(f"{HTTPBIN}/anything", json={"title": "ü"}).json()["json"]


def denied():
    answer = session.delete(f"{HTTPBIN}/anything")
    return {"status": answer.status_code, "body": answer.json()}


def denied_upload():
    blocks = (BLOCK for _ in range(BLOCKS))
    answer = session.delete(f"{HTTPBIN}/status/200", data=blocks)
    return [answer.status_code, answer.json()["detail"]]


def refused():
    answer = session.get(f"{HTTPBIN}/json")
    return {"status": answer.status_code, "body": answer.json()}


def several():
    def one(number):
        return int(session.get(f"{HTTPBIN}/get", params={"n": number}).json()["args"]["n"])

    with ThreadPoolExecutor(4) as pool:
        return [one(number) for number in range(8)] + list(pool.map(one, range(8, 16)))


def large():
    answer = session.post(f"{HTTPBIN}/anything", data=BLOCK * BLOCKS)
    return answer.json()["data"].encode() == BLOCK * BLOCKS


def unknown_length():
    answer = session.post(f"{HTTPBIN}/anything", data=(BLOCK for _ in range(BLOCKS)))
    return answer.json()["data"].encode() == BLOCK * BLOCKS


def events():
    lines = session.get(f"{HTTPBIN}/events/{KEY}", stream=True).iter_lines()
    first = next(lines)
    session.get(f"{HTTPBIN}/seen/{KEY}")
    return [first.decode(), *(line.decode() for line in lines if line)]


def head():
    answer = session.head(f"{HTTPBIN}/json")
    return [answer.status_code, answer.headers["Content-Type"], len(answer.content)]


def options():
    answer = session.options(f"{HTTPBIN}/get")
    return [answer.status_code, "GET" in answer.headers["Allow"]]


def empty():
    answer = session.get(f"{HTTPBIN}/status/204")
    return [answer.status_code, answer.text]


def unchanged():
    now = {"If-Modified-Since": "Wed, 25 Nov 2026 15:00:00 GMT"}
    return session.get(f"{HTTPBIN}/cache", headers=now).status_code


def redirected():
    answer = session.get(f"{HTTPBIN}/redirect-to?url=/get", allow_redirects=False)
    followed = session.get(f"{HTTPBIN}/redirect-to?url=/get")
    return [answer.status_code, answer.headers["Location"], followed.status_code]


def compressed():
    answer = session.get(f"{HTTPBIN}/gzip")
    return {"status": answer.status_code, "body": answer.json()}


def slow_down():
    answers = [session.get(f"{HTTPBIN}/slow-down/{each}/{KEY}-{each}") for each in (429, 503)]
    return [[answer.status_code, answer.json()["asked"]] for answer in answers]


def down():
    answer = session.get(DOWN)
    return {"status": answer.status_code, "body": answer.json()}


def unknown():
    session.get(UNKNOWN)


tell_all(
    read=read,
    write=write,
    denied=denied,
    denied_upload=denied_upload,
    refused=refused,
    several=several,
    large=large,
    unknown_length=unknown_length,
    events=events,
    head=head,
    options=options,
    empty=empty,
    unchanged=unchanged,
    redirected=redirected,
    compressed=compressed,
    slow_down=slow_down,
    down=down,
    unknown=unknown,
)
