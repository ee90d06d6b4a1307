"""httpx's asynchronous client, which offers HTTP/2 as well."""

from __future__ import annotations

import asyncio

import httpx
from told import BLOCK, BLOCKS, DOWN, HTTPBIN, KEY, UNKNOWN, public, tell


async def blocks():
    for _ in range(BLOCKS):
        yield BLOCK


class Scenarios:
    def __init__(self, client):
        self._client = client

    async def read(self):
        answer = await self._client.get(f"{HTTPBIN}/json")
        return answer.json()["slideshow"] | {"version": answer.http_version}

    async def write(self):
        return (await self._client.post(f"{HTTPBIN}/anything", json={"title": "ü"})).json()["json"]

    async def denied(self):
        answer = await self._client.delete(f"{HTTPBIN}/anything")
        return {"status": answer.status_code, "body": answer.json()}

    async def denied_upload(self):
        answer = await self._client.request("DELETE", f"{HTTPBIN}/status/200", content=blocks())
        return [answer.status_code, answer.json()["detail"]]

    async def refused(self):
        answer = await self._client.get(f"{HTTPBIN}/json")
        return {"status": answer.status_code, "body": answer.json()}

    async def several(self):
        async def one(number):
            answer = await self._client.get(f"{HTTPBIN}/get", params={"n": number})
            return int(answer.json()["args"]["n"])

        in_turn = [await one(number) for number in range(8)]
        return in_turn + list(await asyncio.gather(*map(one, range(8, 16))))

    async def large(self):
        answer = await self._client.post(f"{HTTPBIN}/anything", content=BLOCK * BLOCKS)
        return answer.json()["data"].encode() == BLOCK * BLOCKS

    async def unknown_length(self):
        answer = await self._client.post(f"{HTTPBIN}/anything", content=blocks())
        return answer.json()["data"].encode() == BLOCK * BLOCKS

    async def events(self):
        async with self._client.stream("GET", f"{HTTPBIN}/events/{KEY}") as answer:
            lines = answer.aiter_lines()
            first = await anext(lines)
            await self._client.get(f"{HTTPBIN}/seen/{KEY}")
            return [first, *[line async for line in lines if line]]

    async def head(self):
        answer = await self._client.head(f"{HTTPBIN}/json")
        return [answer.status_code, answer.headers["Content-Type"], len(answer.content)]

    async def options(self):
        answer = await self._client.options(f"{HTTPBIN}/get")
        return [answer.status_code, "GET" in answer.headers["Allow"]]

    async def empty(self):
        answer = await self._client.get(f"{HTTPBIN}/status/204")
        return [answer.status_code, answer.text]

    async def unchanged(self):
        now = {"If-Modified-Since": "Wed, 25 Nov 2026 15:00:00 GMT"}
        return (await self._client.get(f"{HTTPBIN}/cache", headers=now)).status_code

    async def redirected(self):
        answer = await self._client.get(f"{HTTPBIN}/redirect-to?url=/get")
        followed = await self._client.get(f"{HTTPBIN}/redirect-to?url=/get", follow_redirects=True)
        return [answer.status_code, answer.headers["Location"], followed.status_code]

    async def compressed(self):
        answer = await self._client.get(f"{HTTPBIN}/gzip")
        return {"status": answer.status_code, "body": answer.json()}

    async def slow_down(self):
        urls = [f"{HTTPBIN}/slow-down/{each}/{KEY}-{each}" for each in (429, 503)]
        answers = [await self._client.get(url) for url in urls]
        return [[answer.status_code, answer.json()["asked"]] for answer in answers]

    async def down(self):
        answer = await self._client.get(DOWN)
        return {"status": answer.status_code, "body": answer.json()}

    async def unknown(self):
        await self._client.get(UNKNOWN)


async def main():
    async with httpx.AsyncClient(http2=True, timeout=20) as client:
        await tell(public(Scenarios(client)))


asyncio.run(main())
