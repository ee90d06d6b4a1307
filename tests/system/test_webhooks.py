"""The real gateway asks by a webhook: the documented receiver answers, and after a kill it is so."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from support.approver import REVIEWED
from support.counterparts import TestCA
from support.gateway import wait_for
from support.proxies import _await_listening, _free_port
from support.receiver import called_back, secret
from system.test_held import HELD, LATER, Stage, request

ALICE = "alice@acme.com"
PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


@pytest.fixture(autouse=True)
def plain_answers():
    """A stage begins with them."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """`Stage.serving` looks for one, gateway by gateway."""


class Hooked(Stage):
    """A stage whose gateway asks by one webhook."""

    def asking(self):
        """Its configuration, once the origin is there."""
        folder = self.folder
        self.configured(groups={"it-leads": [ALICE]}, channels=["ops"])
        self.hook, self.admin = _free_port(), _free_port()
        self.settings["listen"]["admin"] = f"127.0.0.1:{self.admin}"
        for name in ("out", "in"):
            (folder / name).write_text(secret(name) + "\n")
            (folder / name).chmod(0o600)
        callback = {"secret": "file:./in", "people": [ALICE]}
        url = f"http://127.0.0.1:{self.hook}/"
        hook = {"name": "ops", "url": url, "secret": "file:./out", "callback": callback}
        self.settings["webhooks"] = [hook]

    @contextmanager
    def receiving(self):
        """The receiver of the page, as it stands there."""
        (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        environment = {
            "OPS_OUT_SECRET": secret("out"),
            "OPS_IN_SECRET": secret("in"),
            "OPS_CALLBACK": f"http://127.0.0.1:{self.admin}/webhooks/ops",
            "OPS_PORT": f"{self.hook}",
        }
        said = self.folder / "receiver.txt"
        with said.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", program],
                env={**os.environ, **environment},
                stdout=file,
                stderr=subprocess.DEVNULL,
            )
        try:
            _await_listening(process, self.hook)
            yield said
        finally:
            process.terminate()
            process.wait(timeout=30)

    def say(self, about, **how):
        """A callback's status and what was said to it."""
        fields, body = called_back(about, secret("in"), time.time(), **how)
        return self.post(fields, body)

    def post(self, fields, body):
        url = f"http://127.0.0.1:{self.admin}/webhooks/ops"
        asked = urllib.request.Request(url, body, fields, method="POST")
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:  # noqa: S310 (our own)
                return answer.status, orjson.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, orjson.loads(error.read())


@pytest.fixture
def scene(tmp_path):
    made = Hooked(tmp_path, TestCA.create(tmp_path, name="origin"))
    with made.origin:
        made.asking()
        yield made


def test_the_receiver_of_the_page_answers_and_the_calls_go_or_do_not(scene):
    with scene.serving() as gateway, scene.receiving() as said:
        with scene.calling(fields=HELD) as tunnel:
            assert tunnel.reply().status == 200
        with scene.tunnel() as tunnel:
            tunnel.send(request("/things/2", b"{}", HELD).replace(b"POST", b"DELETE", 1))
            refusal = tunnel.reply()
        assert refusal.status == 403
        assert b"As agreed in OPS-7" in refusal.body
        answers = gateway.entries("access.answered")
        assert [(each["channel"], each["approves"]) for each in answers] == [
            ("ops", True),
            ("ops", False),
        ]
        assert scene.paths() == ["/things/1"]
        wait_for(lambda: said.read_text().count("counted:") == 2)


def test_what_was_asked_while_nobody_listened_is_told_once_somebody_does(scene):
    """The gateway was killed in between as well."""
    with scene.serving():
        assert scene.call().status == 202
        scene.kill()
    with scene.serving() as gateway, scene.receiving():
        wait_for(lambda: gateway.entries("grant.made"))
        assert scene.call().status == 200


def test_a_webhook_that_a_reload_brings_is_told_what_waits_already(scene):
    hooks = scene.settings.pop("webhooks")
    scene.settings["approvals"]["channels"] = ["cli"]
    with scene.serving() as gateway, scene.receiving():
        assert scene.call().status == 202
        scene.settings |= {"webhooks": hooks}
        scene.settings["approvals"]["channels"] = ["cli", "ops"]
        gateway.config.write_bytes(orjson.dumps(scene.settings, option=orjson.OPT_NON_STR_KEYS))
        os.kill(gateway.process.pid, signal.SIGHUP)
        wait_for(lambda: gateway.entries("grant.made"))
        assert [each["channel"] for each in gateway.entries("access.answered")] == ["ops"]


def test_a_callback_that_comes_again_after_a_kill_is_told_the_truth_and_counts_once(scene):
    (scene.folder / "policy.yaml").write_bytes(
        orjson.dumps([REVIEWED | {"approvers": {"groups": ["it-leads"], "reason": "required"}}])
    )
    with scene.serving():
        assert scene.call(fields=LATER).status == 202
        waiting = scene.approver.next()
        about = {
            "access_request": waiting["id"],
            "fingerprint": waiting["fingerprint"],
            "approves": True,
            "approver": ALICE,
        }
        assert scene.say(about, id="msg_1")[0] == 422
        message = called_back(about | {"reason": "OPS-7"}, secret("in"), time.time(), id="msg_2")
        status, first = scene.post(*message)
        assert status == 200
        scene.kill()
    with scene.serving() as gateway:
        assert scene.post(*message) == (200, first)
        assert len(gateway.entries("access.answered")) == 1
        assert len(gateway.entries("webhook.refused")) == 1
        assert scene.call().status == 200
        assert scene.post(*message) == (200, first)
        scene.verify()
