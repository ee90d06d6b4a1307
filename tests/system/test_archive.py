"""The real gateway's sealed files are locked in a store of S3's kind, and the record says where."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.counterparts import TestCA
from support.gateway import wait_for
from support.moto import ID, KEY, bucket_in, client, running
from support.proxies import _free_port
from system.test_held import Stage
from system.test_startup import refused


@pytest.fixture(autouse=True)
def plain_answers():
    """A stage begins with them."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """`Stage.serving` looks for one, gateway by gateway."""


@pytest.fixture(scope="module")
def moto():
    with running() as address:
        yield address


@pytest.fixture
def scene(tmp_path, moto):
    made = Stage(tmp_path, TestCA.create(tmp_path))
    made.s3 = moto
    with made.origin:
        made.configured()
        for name, value in (("id", ID), ("key", KEY)):
            (tmp_path / name).write_text(value)
            (tmp_path / name).chmod(0o600)
        s3 = client(made.s3)
        made.bucket = bucket_in(s3)
        yield made
        s3.close()


def archiving(scene, **how):
    archive = {
        "type": "s3",
        "bucket": scene.bucket,
        "prefix": "site-1/",
        "retention": "400d",
        "region": "eu-west-1",
        "endpoint": scene.s3,
        "access_key": "file:./id",
        "secret_key": "file:./key",
        **how,
    }
    scene.settings["recording"] = {"directory": str(scene.state / "recordings"), "archive": archive}


def told(scene):
    """What the site log says is archived, by the file."""
    site = scene.state / "recordings" / "site"
    lines = "".join(path.read_text() for path in sorted(site.glob("*.jsonl"))).splitlines()
    entries = [json.loads(line) for line in lines]
    return {each["file"]: each for each in entries if each["type"] == "file.archived"}


def test_what_is_sealed_is_locked_there_under_the_version_that_is_on_record(scene):
    with scene.serving():
        assert scene.call().status == 202
    sealed = {
        str(path.relative_to(scene.state / "recordings"))
        for kind in ("logs/*/*", "site/*.jsonl")
        for path in (scene.state / "recordings").glob(kind)
    }
    archiving(scene)
    with scene.serving():
        wait_for(lambda: told(scene).keys() >= sealed)
    s3 = client(scene.s3)
    for file, kept in told(scene).items():
        there = s3.get_object(Bucket=kept["bucket"], Key=kept["key"], VersionId=kept["version"])
        data = Path(scene.state / "recordings" / file).read_bytes()
        assert there["Body"].read() == data
        assert kept["sha256"] == hashlib.sha256(data).hexdigest()
        assert there["ObjectLockMode"] == "COMPLIANCE"
        assert kept["key"] == f"site-1/{file}"
    before = len(told(scene))
    with scene.serving():
        wait_for(lambda: len(told(scene)) > before)
    s3.close()
    scene.verify()


def test_what_is_in_the_archive_alone_can_be_verified(scene, tmp_path):
    """It holds what there was when the last run began, and each checkpoint beside that."""
    archiving(scene)
    with scene.serving():
        assert scene.call().status == 202
    s3 = client(scene.s3)
    signed = max((scene.state / "recordings" / "checkpoints").iterdir())
    kept = s3.get_object(Bucket=scene.bucket, Key=f"site-1/kept/{signed.name}")
    assert kept["ObjectLockMode"] == "COMPLIANCE"
    outside = tmp_path / "kept.note"
    outside.write_bytes(kept["Body"].read())
    assert outside.read_bytes() == signed.read_bytes()

    def keys():
        found = s3.list_objects_v2(Bucket=scene.bucket)["Contents"]
        return [each["Key"] for each in found if "/kept/" not in each["Key"]]

    with scene.serving():
        wait_for(lambda: f"site-1/checkpoints/{signed.name}" in keys())
    alone = tmp_path / "alone"
    for key in keys():
        (alone / key).parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(scene.bucket, key, str(alone / key))
    s3.close()
    for more in ((), ("--checkpoint", str(outside))):
        command = ["verify", "--key", str(scene.state / "site.vkey"), *more, alone / "site-1"]
        done = subprocess.run(
            [sys.executable, "-m", "jitgate", *command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_with_a_bucket_that_does_not_lock_nothing_is_served(scene):
    s3 = client(scene.s3)
    archiving(scene, bucket=bucket_in(s3, locks=False))
    s3.close()
    said = "".join(refused(scene.folder, scene.settings))
    assert "locks no objects" in said


def test_a_store_that_is_down_holds_nobody_up(scene):
    with scene.serving():
        scene.call()
    archiving(scene, endpoint=f"http://127.0.0.1:{_free_port()}")
    with scene.serving() as gateway:
        assert scene.call().status == 202
        wait_for(
            lambda: any("could not be put into the archive" in line for line in gateway.output)
        )
    assert not told(scene)
