"""What is put into S3 is locked there, once, and nothing is taken for locked that is not."""

import dataclasses
import hashlib
import socket
import time
from contextlib import contextmanager, suppress
from threading import Thread

import pytest
from botocore.exceptions import ClientError
from support.moto import KEYS, bucket_in
from support.proxies import _free_port
from zope.interface.verify import verifyObject

from jitgate.archives.s3 import S3Archive
from jitgate.errors import ArchiveDown, ArchiveUnlocked
from jitgate.interfaces import IArchive

DAY = 86400.0


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "000000000000.jsonl"
    made.write_bytes(b'{"seq":0}\n' * 1000)
    return made


def archive(moto, bucket, **how):
    return S3Archive("locked", bucket, "site/", session=KEYS, endpoint=moto, **how)


def test_a_file_is_kept_and_locked_and_its_version_is_told(moto, s3, bucket, file):
    made, until = archive(moto, bucket), time.time() + 30 * DAY
    verifyObject(IArchive, made)
    made.check()
    kept = made.put(str(file), "logs/w/000000000000.jsonl", until)
    assert (kept.archive, kept.bucket, kept.key) == (
        "locked",
        bucket,
        "site/logs/w/000000000000.jsonl",
    )
    assert kept.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert kept.bytes == 10_000
    there = s3.get_object(Bucket=bucket, Key=kept.key, VersionId=kept.version)
    assert there["Body"].read() == file.read_bytes()
    assert there["ObjectLockMode"] == "COMPLIANCE"
    assert abs(there["ObjectLockRetainUntilDate"].timestamp() - until) <= 1
    with pytest.raises(ClientError):
        s3.delete_object(Bucket=bucket, Key=kept.key, VersionId=kept.version)


def test_what_is_there_and_locked_as_long_is_not_sent_again(moto, s3, bucket, file):
    made, until = archive(moto, bucket), time.time() + 30 * DAY
    first = made.put(str(file), "a", until)
    assert made.put(str(file), "a", until - DAY).version == first.version
    longer = made.put(str(file), "a", until + DAY)
    file.write_bytes(b"other")
    other = made.put(str(file), "a", until)
    assert len({first.version, longer.version, other.version}) == 3
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 3


def test_what_is_there_is_said_to_be_and_nothing_else(moto, s3, bucket, file):
    made = archive(moto, bucket)
    kept = made.put(str(file), "a", time.time() + DAY)
    assert kept.place == made.place == f"{moto}/{bucket}/site/"
    assert made.has(kept)
    file.write_bytes(b"other")
    other = made.put(str(file), "a", time.time() + DAY)
    assert made.has(kept)  # by its version
    assert not made.has(dataclasses.replace(kept, version=other.version))
    assert not made.has(dataclasses.replace(kept, key="site/b"))
    assert S3Archive("locked", bucket, session=KEYS).place == f"s3://{bucket}/"


def test_a_legal_hold_is_placed_where_that_is_wanted(moto, s3, bucket, file):
    kept = archive(moto, bucket, hold=True).put(str(file), "a", time.time() + DAY)
    held = s3.get_object_legal_hold(Bucket=bucket, Key=kept.key, VersionId=kept.version)
    assert held["LegalHold"]["Status"] == "ON"


def test_a_bucket_that_cannot_lock_is_refused(moto, s3, file):
    made = archive(moto, bucket_in(s3, locks=False))
    with pytest.raises(ArchiveUnlocked, match="locks no objects"):
        made.check()
    with pytest.raises((ArchiveUnlocked, ArchiveDown)):
        made.put(str(file), "a", time.time() + DAY)


def test_no_bucket_and_no_store_are_faults_that_say_so_and_hold_no_key(moto, file):
    nobody = S3Archive("locked", "b", session=KEYS, endpoint=f"http://127.0.0.1:{_free_port()}")
    for made in (archive(moto, "there-is-none"), nobody):
        for ask in (made.check, lambda made=made: made.put(str(file), "a", time.time() + DAY)):
            with pytest.raises(ArchiveDown, match="locked") as caught:
                ask()
            assert KEYS["aws_secret_access_key"] not in f"{caught.value.__cause__}"
            assert caught.value.__cause__ is None


@contextmanager
def answering(*pieces):
    """A store that gives this answer to every call, and then hangs up; how much was read of it."""
    listening, read = socket.create_server(("127.0.0.1", 0)), []

    def answer():
        with suppress(OSError):
            while True:
                with listening.accept()[0] as peer:
                    peer.recv(65536)
                    read.append(0)
                    with suppress(OSError):
                        for piece in pieces:
                            peer.sendall(piece)
                            read[-1] += len(piece)

    thread = Thread(target=answer)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", read
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        listening.close()
        assert not thread.is_alive()


FLOODS = {
    "told": b"HTTP/1.1 200 OK\r\nContent-Length: 400000000\r\n\r\n",
    "in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n17d78400\r\n",
    "to the end": b"HTTP/1.1 403 Forbidden\r\n\r\n",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_of_an_answer_no_more_is_read_than_any_has(flood):
    pieces = [b"<a/>" * 16384] * 1000
    with (
        answering(FLOODS[flood], *pieces) as (address, read),
        pytest.raises(ArchiveDown, match="HTTPClientError"),
    ):
        archive(address, "bucket").check()
    assert max(read) < 32 * 1024 * 1024  # what the sockets' buffers take


def test_an_answer_that_breaks_off_is_a_fault():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with answering(head, b"17\r\n<a") as (address, _), pytest.raises(ArchiveDown):
        archive(address, "bucket").check()
