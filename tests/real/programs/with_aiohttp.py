"""aiohttp, told to look at the environment: by itself it does not."""

from __future__ import annotations

import asyncio

import aiohttp
from told import BLOCK, BLOCKS, DOWN, HTTPBIN, KEY, UNKNOWN, public, tell


async def blocks():
    for _ in range(BLOCKS):
        yield BLOCK


class Scenarios:
    def __init__(self, client):
        self._client = client

    async def _json_of(self, answer):
        async with answer as got:
            return await got.json(content_type=None)

    async def read(self):
        return (await self._json_of(self._client.get(f"{HTTPBIN}/json")))["slideshow"]

    async def write(self):
        sent = self._client.post(f"{HTTPBIN}/anything", json={"title": "ü"})
        return (await self._json_of(sent))["json"]

    async def denied(self):
        async with self._client.delete(f"{HTTPBIN}/anything") as answer:
            return {"status": answer.status, "body": await answer.json(content_type=None)}

    async def denied_upload(self):
        async with self._client.delete(f"{HTTPBIN}/status/200", data=blocks()) as answer:
            return [answer.status, (await answer.json(content_type=None))["detail"]]

    async def refused(self):
        async with self._client.get(f"{HTTPBIN}/json") as answer:
            return {"status": answer.status, "body": await answer.json(content_type=None)}

    async def several(self):
        async def one(number):
            found = await self._json_of(self._client.get(f"{HTTPBIN}/get", params={"n": number}))
            return int(found["args"]["n"])

        in_turn = [await one(number) for number in range(8)]
        return in_turn + list(await asyncio.gather(*map(one, range(8, 16))))

    async def large(self):
        found = await self._json_of(self._client.post(f"{HTTPBIN}/anything", data=BLOCK * BLOCKS))
        return found["data"].encode() == BLOCK * BLOCKS

    async def unknown_length(self):
        found = await self._json_of(self._client.post(f"{HTTPBIN}/anything", data=blocks()))
        return found["data"].encode() == BLOCK * BLOCKS

    async def events(self):
        async with self._client.get(f"{HTTPBIN}/events/{KEY}") as answer:
            first = await answer.content.readline()
            await self._json_of(self._client.get(f"{HTTPBIN}/seen/{KEY}"))
            rest = [line.decode().strip() async for line in answer.content]
        return [first.decode().strip(), *filter(None, rest)]

    async def head(self):
        async with self._client.head(f"{HTTPBIN}/json") as answer:
            return [answer.status, answer.headers["Content-Type"], len(await answer.read())]

    async def options(self):
        async with self._client.options(f"{HTTPBIN}/get") as answer:
            return [answer.status, "GET" in answer.headers["Allow"]]

    async def empty(self):
        async with self._client.get(f"{HTTPBIN}/status/204") as answer:
            return [answer.status, await answer.text()]

    async def unchanged(self):
        now = {"If-Modified-Since": "Wed, 25 Nov 2026 15:00:00 GMT"}
        async with self._client.get(f"{HTTPBIN}/cache", headers=now) as answer:
            return answer.status

    async def redirected(self):
        url = f"{HTTPBIN}/redirect-to?url=/get"
        async with (
            self._client.get(url, allow_redirects=False) as answer,
            self._client.get(url) as followed,
        ):
            return [answer.status, answer.headers["Location"], followed.status]

    async def compressed(self):
        async with self._client.get(f"{HTTPBIN}/gzip") as answer:
            return {"status": answer.status, "body": await answer.json(content_type=None)}

    async def slow_down(self):
        found = []
        for status in (429, 503):
            async with self._client.get(f"{HTTPBIN}/slow-down/{status}/{KEY}-{status}") as answer:
                found.append([answer.status, (await answer.json())["asked"]])
        return found

    async def down(self):
        async with self._client.get(DOWN) as answer:
            return {"status": answer.status, "body": await answer.json(content_type=None)}

    async def unknown(self):
        await self._client.get(UNKNOWN)


async def main():
    patience = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(trust_env=True, timeout=patience) as client:
        await tell(public(Scenarios(client)))


asyncio.run(main())
