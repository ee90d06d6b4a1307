"""slack_sdk's WebClient, which looks at the environment by itself; no retries are switched on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from slack_sdk import WebClient
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from told import BLOCK, DOWN, HTTPBIN, KEY, UNKNOWN, tell_all

client = WebClient(token="xoxb-the-agents-own")


def read():
    found = client.users_list()
    return {user["name"]: user["profile"]["email"] for user in found["members"]}


def write():
    channel = channels()["alerts"]
    sent = client.chat_postMessage(channel=channel, text="grüße")
    history = client.conversations_history(channel=channel)
    return [sent["message"]["text"], [each["text"] for each in history["messages"]]]


def denied():
    client.chat_delete(channel=channels()["alerts"], ts="1.2")


def several():
    with ThreadPoolExecutor(4) as pool:
        pooled = list(pool.map(lambda _: client.auth_test()["ok"], range(4)))
    return [client.auth_test()["ok"] for _ in range(4)] + pooled


def large():
    file = client.files_upload_v2(
        content=BLOCK * 128, filename="big.txt", channel=channels()["alerts"]
    )
    return file["files"][0]["size"] if "size" in file["files"][0] else len(file["files"])


def slow_down():
    WebClient(base_url=f"{HTTPBIN}/slow-down/429/{KEY}/").api_call("auth.test")


def slow_down_obeyed():
    patient = WebClient(base_url=f"{HTTPBIN}/slow-down/429/{KEY}-patient/")
    patient.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=2))
    return patient.api_call("auth.test")["asked"]


def down():
    WebClient(base_url=f"{DOWN}/api/").api_test()


def unknown():
    WebClient(base_url=f"{UNKNOWN}/api/").api_test()


def channels():
    return {each["name"]: each["id"] for each in client.conversations_list()["channels"]}


tell_all(
    read=read,
    write=write,
    denied=denied,
    several=several,
    large=large,
    slow_down=slow_down,
    slow_down_obeyed=slow_down_obeyed,
    down=down,
    unknown=unknown,
)
