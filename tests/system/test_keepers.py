"""Checkpoints leave the real gateway, and an auditor who has one sees what was taken back since."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks import Webhook
from support.counterparts import TestCA
from support.gateway import wait_for
from support.proxies import _free_port
from support.receiver import secret
from system.test_held import Stage


class Keeping(Stage):
    """A stage whose gateway has its checkpoints kept by a webhook."""

    def asking(self):
        self.configured()
        self.admin, self.notes, self.is_up = _free_port(), [], True
        (self.folder / "kept").write_text(secret("kept") + "\n")
        (self.folder / "kept").chmod(0o600)
        self.settings["listen"]["admin"] = f"127.0.0.1:{self.admin}"

    @contextmanager
    def keeping(self):
        """Somebody's own program, which believes what the specification's library does."""

        class Keeper(BaseHTTPRequestHandler):
            def do_POST(this):  # noqa: N805
                body = this.rfile.read(int(this.headers["content-length"]))
                told = Webhook(secret("kept")).verify(body, dict(this.headers))
                assert told is None or told["type"] == "recording.checkpoint"
                self.notes.append(json.loads(body)["data"]["note"])
                this.send_response(204)
                this.end_headers()

            def log_message(this, *_):  # noqa: N805
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Keeper)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        keeper = {"type": "webhook", "name": "ops", "url": url, "secret": "file:./kept"}
        recording = {"directory": str(self.recordings), "keepers": [keeper]}
        self.settings["recording"] = recording
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()

    @property
    def recordings(self):
        return self.state / "recordings"

    def newest(self):
        """The newest checkpoint that is kept elsewhere, in a file."""
        note = self.folder / "kept.note"
        note.write_text(self.notes[-1])
        return note

    def verified(self, folder):
        command = ["verify", "--checkpoint", str(self.newest()), "--key"]
        return subprocess.run(
            [sys.executable, "-m", "jitgate", *command, str(self.state / "site.vkey"), str(folder)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(autouse=True)
def plain_answers():
    """A stage begins with them."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """`Stage.serving` looks for one, gateway by gateway."""


@pytest.fixture
def scene(tmp_path):
    made = Keeping(tmp_path, TestCA.create(tmp_path))
    with made.origin:
        made.asking()
        yield made


def test_the_last_checkpoint_of_a_run_is_kept_and_covers_all_of_it(scene):
    with scene.keeping():
        with scene.serving():
            wait_for(lambda: scene.notes)
            scene.call()
        done = scene.verified(scene.recordings)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_older_copy_of_the_whole_folder_is_seen_by_whoever_has_one(scene):
    with scene.keeping():
        with scene.serving():
            scene.call()
        older = scene.folder / "older"
        shutil.copytree(scene.recordings, older)
        with scene.serving():
            scene.call()
        done = scene.verified(older)
    assert done.returncode == 1
    assert "rolled back" in done.stdout + done.stderr


def test_a_keeper_that_is_down_is_asked_again_and_holds_nobody_up(scene):
    with scene.keeping():
        recording = scene.settings["recording"]
        url, nobody = recording["keepers"][0]["url"], f"http://127.0.0.1:{_free_port()}/"
        recording["keepers"][0]["url"] = nobody
        with scene.serving() as gateway:
            assert scene.call().status == 202
            wait_for(lambda: any("not kept by ops" in line for line in gateway.output))
            page = urllib.request.urlopen(f"http://127.0.0.1:{scene.admin}/healthz")
            assert json.load(page)["checkpoints"]["state"] == "ok"
            recording["keepers"][0]["url"] = url
            gateway.config.write_text(json.dumps(scene.settings))
            os.kill(gateway.process.pid, signal.SIGHUP)
            wait_for(lambda: any("recording.keepers is another" in line for line in gateway.output))
        assert not scene.notes
        with scene.serving():
            wait_for(lambda: scene.notes)
