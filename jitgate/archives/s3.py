"""S3 with Object Lock in compliance mode: not even the account's owner shortens that."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from urllib3.exceptions import HTTPError
from zope.interface import implementer

from jitgate.errors import ArchiveDown, ArchiveUnlocked
from jitgate.interfaces import IArchive
from jitgate.values import Archived

CONNECT: Final = 10
READ: Final = 60
"""Seconds: for a connection; between two pieces of an answer."""

TRIES: Final = 2
"""Of one call; what fails is tried again later anyway."""

ANSWER_BYTES: Final = 64 * 1024
"""Of an answer: what a store says of an object, or of a fault, has some hundred."""

MODE: Final = "COMPLIANCE"

_PIECE: Final = 1024 * 1024


@implementer(IArchive)
class S3Archive:
    """One bucket, made with Object Lock; keys begin with ``prefix``.

    Args:
        name: Stands in the record.
        bucket: Must exist, with Object Lock enabled.
        prefix: Ends with a slash, or is empty.
        hold: Whether a legal hold is placed on each object as well.
        session: Region and credentials, as `boto3.session.Session` takes them; left out, boto3
            looks for them where it does (environment, instance).
        endpoint: The URL of a store that is not Amazon's.
        trust: A PEM file of the authorities that vouch for it.
    """

    def __init__(
        self,
        name: str,
        bucket: str,
        prefix: str = "",
        *,
        hold: bool = False,
        session: Mapping[str, str] | None = None,
        endpoint: str | None = None,
        trust: Path | None = None,
    ) -> None:
        self.name = name
        self.place = f"{endpoint or 's3:/'}/{bucket}/{prefix}"
        self._bucket = bucket
        self._prefix = prefix
        self._hold = hold
        self._at = {"endpoint_url": endpoint, "verify": None if trust is None else f"{trust}"}
        self._session = dict(session or {})
        self._client: Any = None

    def check(self) -> None:
        with _told(self.name, f"bucket {self._bucket}"):
            try:
                found = self._s3().get_object_lock_configuration(Bucket=self._bucket)
            except ClientError as error:
                if _code(error) != "ObjectLockConfigurationNotFoundError":
                    raise
                found = {}
        enabled = found.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled")
        if enabled != "Enabled":
            raise ArchiveUnlocked(
                f"The archive {self.name}: bucket {self._bucket} locks no objects. Make one with "
                "Object Lock; it cannot be had later everywhere."
            )

    def put(self, path: str, key: str, until: float) -> Archived:
        key = f"{self._prefix}{key}"
        with _told(self.name, key):
            file = Path(path)
            digest, size = _digest(file)
            kept = self._found(key, digest, until)
            if kept is None:
                version = self._sent(file, key, digest, until)
                kept = self._found(key, digest, until, version)
        if kept is None:
            raise ArchiveUnlocked(
                f"The archive {self.name} took {key} and does not lock it until then."
            )
        return Archived(self.name, self.place, self._bucket, key, kept, digest.hex(), size, until)

    def has(self, kept: Archived) -> bool:
        with _told(self.name, kept.key):
            head = self._head(kept.key, kept.version)
        return head is not None and _same(head, bytes.fromhex(kept.sha256))

    def _sent(self, path: Path, key: str, digest: bytes, until: float) -> str:
        held = {"ObjectLockLegalHoldStatus": "ON"} if self._hold else {}
        with path.open("rb") as file:
            answer = self._s3().put_object(
                Bucket=self._bucket,
                Key=key,
                Body=file,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(digest).decode(),
                ObjectLockMode=MODE,
                ObjectLockRetainUntilDate=datetime.fromtimestamp(int(until), UTC),
                **held,
            )
        return str(answer.get("VersionId", ""))

    def _found(self, key: str, digest: bytes, until: float, version: str = "") -> str | None:
        """The version of these bytes that is locked for as long, if there is one."""
        head = self._head(key, version)
        if head is None:
            return None
        locked = head.get("ObjectLockMode") == MODE and _at(head) >= int(until)
        held = not self._hold or head.get("ObjectLockLegalHoldStatus") == "ON"
        version = str(head.get("VersionId") or "")
        there = _same(head, digest) and locked and held
        return version if there and version not in {"", "null"} else None

    def _head(self, key: str, version: str) -> Mapping[str, Any] | None:
        """What the store says of an object, if there is one."""
        asked = {"VersionId": version} if version else {}
        try:
            head: Mapping[str, Any] = self._s3().head_object(
                Bucket=self._bucket, Key=key, ChecksumMode="ENABLED", **asked
            )
        except ClientError as error:
            if _code(error) in {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}:
                return None
            raise
        return head

    def _s3(self) -> Any:
        if self._client is None:
            config = Config(
                connect_timeout=CONNECT,
                read_timeout=READ,
                retries={"total_max_attempts": TRIES, "mode": "standard"},
                s3={"addressing_style": "auto"},
            )
            session = boto3.session.Session(**self._session)
            client = session.client("s3", config=config, **self._at)
            client.meta.events.register("before-send.s3", partial(_answered, client))
            self._client = client
        return self._client


class _told:  # noqa: N801 (it reads as a verb)
    """What goes wrong inside is `ArchiveDown`, in words that hold no credential."""

    def __init__(self, name: str, what: str) -> None:
        self._about = f"The archive {name} cannot keep {what}"

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, ClientError):
            raise ArchiveDown(f"{self._about}: {_code(error)}.") from None
        if isinstance(error, BotoCoreError):
            raise ArchiveDown(f"{self._about}: {type(error).__name__}.") from None
        if isinstance(error, OSError):
            raise ArchiveDown(f"{self._about}: {error.strerror or type(error).__name__}.") from None


class _Read(NamedTuple):
    """What was read of an answer, in the place of the connection."""

    data: bytes

    def stream(self) -> Iterator[bytes]:
        return iter((self.data,))


def _answered(client: Any, request: Any, **_: object) -> AWSResponse:
    """Send as boto3 would, and read no more than any answer has: it reads and parses them whole.

    Raises `HTTPClientError`.
    """
    request.stream_output = True  # or all of it is read before anybody sees how much that is
    answer = client._endpoint.http_session.send(request)  # noqa: SLF001 (it has no other name)
    try:
        data = answer.raw.read(ANSWER_BYTES + 1)
    except HTTPError as error:
        raise HTTPClientError(error=error) from error
    if len(data) > ANSWER_BYTES:
        answer.raw.close()
        raise HTTPClientError(error="the answer is too long")
    return AWSResponse(answer.url, answer.status_code, answer.headers, _Read(data))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "?"))


def _same(head: Mapping[str, Any], digest: bytes) -> bool:
    return bool(head.get("ChecksumSHA256") == base64.b64encode(digest).decode())


def _at(head: Mapping[str, Any]) -> float:
    until = head.get("ObjectLockRetainUntilDate")
    return until.timestamp() if isinstance(until, datetime) else 0.0


def _digest(path: Path) -> tuple[bytes, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return digest.digest(), size
