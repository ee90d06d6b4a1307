"""moto, which stands in for S3 with Object Lock. Of its gaps: it lets compliance be shortened."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from support.proxies import _await_listening, _free_port

ID, KEY, REGION = "test", "test", "eu-west-1"
KEYS = {"aws_access_key_id": ID, "aws_secret_access_key": KEY, "region_name": REGION}


@contextmanager
def running() -> Iterator[str]:
    """The address of a store of S3's kind, in a process of its own."""
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_listening(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def client(address: str) -> Any:
    """The store's client, as somebody else has it."""
    tries = Config(retries={"total_max_attempts": 1})
    return boto3.client("s3", endpoint_url=address, config=tries, **KEYS)


def bucket_in(s3: Any, *, locks: bool = True) -> str:
    """A new bucket."""
    name = f"b-{uuid.uuid4().hex}"
    s3.create_bucket(
        Bucket=name,
        ObjectLockEnabledForBucket=locks,
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )
    return name
