"""msgraph-sdk with its own client; of the credential only that it is of no use to the agent."""

from __future__ import annotations

import asyncio

from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from msgraph import GraphServiceClient
from msgraph.generated.models.user import User
from told import DOWN, HTTPBIN, KEY, UNKNOWN, tell


class Nothing(AsyncTokenCredential):
    """A token that says nothing: the gateway replaces it."""

    async def get_token(self, *scopes, **more):
        return AccessToken("the-agents-own", 4_000_000_000)

    async def close(self):
        pass

    async def __aexit__(self, *raised):
        pass


def graph(url=None):
    client = GraphServiceClient(Nothing(), ["https://graph.microsoft.com/.default"])
    if url is not None:
        client.request_adapter.base_url = url
    return client


client = graph()


async def read():
    user = await client.me.get()
    return [user.display_name, user.mail]


async def write():
    sent = User(display_name="Grüße", job_title="x")
    echo = (await graph(f"{HTTPBIN}/anything").users.post(sent)).additional_data
    return [echo["method"], echo["json"]]


async def denied():
    await client.users.by_user_id("ada").delete()


async def several():
    in_turn = [(await client.me.get()).display_name for _ in range(4)]
    rest = await asyncio.gather(*(client.me.get() for _ in range(4)))
    return in_turn + [each.display_name for each in rest]


async def slow_down():
    found = await graph(f"{HTTPBIN}/slow-down/429/{KEY}").me.get()
    return found.additional_data["asked"]


async def unavailable():
    found = await graph(f"{HTTPBIN}/slow-down/503/{KEY}-503").me.get()
    return found.additional_data["asked"]


async def down():
    await graph(f"{DOWN}/v1.0").me.get()


async def unknown():
    await graph(f"{UNKNOWN}/v1.0").me.get()


asyncio.run(
    tell(
        {
            "read": read,
            "write": write,
            "denied": denied,
            "several": several,
            "slow_down": slow_down,
            "unavailable": unavailable,
            "down": down,
            "unknown": unknown,
        }
    )
)
