"""Agents that bring a SAML assertion of a provider nobody here wrote, through the real gateway."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from urllib.parse import urlencode

import orjson
import pytest
from support.counterparts import TestCA
from support.gateway import GatewayProcess, settings, target
from support.saml import (
    AUDIENCE,
    ISSUER,
    RECIPIENT,
    IdpKey,
    SamlIdp,
    alone,
    presented,
    unsigned,
)
from support.tokens import Tokens
from support.wire import Origin, Tunnel, answering

from jitgate.proxy.token_pages import GRANT_TYPE

OPERATOR = {"operators": {os.getuid(): "root@acme.example"}}


class Desk:
    """One gateway that a test starts, the origin behind it, and the identity provider."""

    def __init__(self, folder, idp):
        self.folder, self.idp = folder, idp
        self.ca = TestCA.create(folder, name="origin")
        self.tokens = Tokens(folder)
        self.origin = Origin(self.ca.leaf("api.example"), answering(b'{"name":"Ada"}'))
        self.metadata = folder / "idp.xml"
        self.metadata.write_text(idp.metadata())

    def settings(self, **more):
        far = target(self.origin.port, self.ca.pem)
        made = settings(self.folder, self.tokens.jwks, [far]) | {"control": OPERATOR}
        provider = {
            "name": "people",
            "type": "saml",
            "issuer": ISSUER,
            "metadata": str(self.metadata),
            "audience": AUDIENCE,
            "recipient": RECIPIENT,
            "groups_attribute": "groups",
        }
        made["identity"]["issuers"].append(provider | more)
        return made

    def serving(self, **more):
        self.gateway = GatewayProcess(self.folder, self.settings(**more))
        return self.gateway

    def tunnel(self, document, **how):
        return Tunnel(self.gateway.proxy, self.gateway.ca, presented(document), **how)

    def asked(self, document, **how):
        """How a call in a tunnel of its own is answered, and why not."""
        with self.tunnel(document, **how) as tunnel:
            reply = tunnel.ask("GET", "/")
        return reply.status, b"" if reply.status == 200 else orjson.loads(reply.body)["detail"]

    def reload(self, configuration):
        data = orjson.dumps(configuration, option=orjson.OPT_NON_STR_KEYS)
        self.gateway.config.write_bytes(data)
        command = [sys.executable, "-m", "jitgate", "reload", "--config", self.gateway.config]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def idp(tmp_path_factory):
    with SamlIdp.start(tmp_path_factory.mktemp("idp"), IdpKey.new()) as idp:
        yield idp


@pytest.fixture
def desk(tmp_path, idp):
    made = Desk(tmp_path, idp)
    with made.origin:
        yield made
    faults = [each for each in made.gateway.output if "Traceback" in each or "critical" in each]
    assert not faults, "".join(made.gateway.output)


# What the folder's conftest makes for its other modules is not needed here.
@pytest.fixture(autouse=True)
def plain_answers():
    """Every desk begins with plain answers."""


@pytest.fixture(autouse=True)
def no_unforeseen_fault():
    """Every desk looks after its own gateway."""


def test_an_assertion_opens_one_tunnel_and_is_kept_out_of_everything_else(desk, idp):
    with desk.serving() as gateway:
        response = idp.response(sessionIndex="s-1")
        with desk.tunnel(response) as tunnel:
            for _ in range(3):
                assert tunnel.ask("GET", "/").status == 200
            status, why = desk.asked(response)
            assert (status, "presented before" in why) == (401, True)
            assert desk.asked(alone(response))[0] == 401
            assert tunnel.ask("GET", "/").status == 200
        assert desk.asked(idp.assertion(), scheme="Bearer")[0] == 200
        first = gateway.entries("tunnel")[0]
        assert first["subject"]["issuer"] == ISSUER
        assert first["subject"]["id"] == "bot-7"
        refused = [line for line in gateway.output if "presented before" in line]
        assert len(refused) == 2
        assert presented(response)[:60] not in "".join(gateway.output)
    assert presented(response)[:60] not in orjson.dumps(gateway.all_entries()).decode()


def test_what_was_taken_stays_so_over_a_restart(desk, idp):
    response = idp.response()
    with desk.serving():
        assert desk.asked(response)[0] == 200
    with desk.serving():
        status, why = desk.asked(response)
        assert (status, "presented before" in why) == (401, True)
        assert desk.asked(idp.response())[0] == 200


def test_an_open_tunnel_outlives_a_reload_and_what_it_was_opened_with_stays_taken(desk, idp):
    with desk.serving():
        response = idp.response()
        with desk.tunnel(response) as tunnel:
            assert tunnel.ask("GET", "/").status == 200
            desk.reload(desk.settings(owners={"bot-7": "bob@acme.example"}))
            for _ in range(2):
                assert tunnel.ask("GET", "/").status == 200
            assert "presented before" in desk.asked(response)[1]
            changed = desk.settings(audience="urn:another")
            desk.reload(changed)
            reply = tunnel.ask("GET", "/")
            assert reply.status == 401
            assert b"another audience" in reply.body


def made_at(idp, seconds):
    """An assertion that says that it was made then, seconds since the epoch."""
    instant = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    plain = unsigned(idp.assertion())
    return idp.sign(re.sub('IssueInstant="[^"]*"', f'IssueInstant="{instant}"', plain))


def test_what_was_made_before_its_subject_was_revoked_is_good_no_more(desk, idp):
    with desk.serving() as gateway:
        before = idp.response()
        command = [sys.executable, "-m", "jitgate", "subjects", "revoke", "bot-7"]
        subprocess.run([*command, "--config", gateway.config], timeout=60, check=True)
        status, why = desk.asked(before)
        assert (status, "its subject was revoked" in why) == (401, True)
        time.sleep(1.1)  # clocks may differ by half a minute: only what is younger than that counts
        assert desk.asked(made_at(idp, int(time.time()) + 30))[0] == 200


def test_what_an_attacker_makes_of_it_is_refused_with_its_reason(desk, idp):
    forger = IdpKey.new()
    sound = idp.assertion()
    with desk.serving():
        for document, why in (
            (sound.replace("bot-7", "admin"), "signature is not the issuer's"),
            (unsigned(sound), "not signed itself"),
            (idp.sign(unsigned(sound), key=forger), "signature is not the issuer's"),
            (f"<!DOCTYPE a>{sound}", "document type"),
            (sound.replace("bot-7", "admin<!-- -->bot-7"), "comment"),
            (f"<a>{sound}{sound}</a>", "exactly one assertion"),
            (idp.assertion(lifetimeInSeconds=-60), "expired"),
            (idp.assertion(issuer="https://evil.example"), "no issuer that is known"),
        ):
            status, detail = desk.asked(document)
            assert (status, why in detail) == (401, True), detail
        assert desk.asked(sound)[0] == 200
        assert len(desk.origin.received) == 1


def test_hundreds_of_groups_fit_into_the_head_of_a_connect(desk, idp):
    groups = ["it-agents", *(f"group-number-{i:04}-of-the-company" for i in range(300))]
    response = idp.response(attributes={"groups": groups})
    assert len(response) > 28_000
    with desk.serving():
        assert desk.asked(response)[0] == 200
        assert desk.asked(idp.response(attributes={"groups": groups}), scheme="Bearer")[0] == 200


def test_metadata_comes_from_a_url_too_and_only_what_is_pinned_counts(desk, idp, tmp_path):
    authority = TestCA.create(tmp_path, name="idp")
    pinned = tmp_path / "idp.pem"
    pinned.write_text(idp.key.certificate)
    with Origin(
        authority.leaf("127.0.0.1"), answering(idp.metadata().encode(), "application/xml")
    ) as site:
        more = {
            "metadata": f"https://127.0.0.1:{site.port}/metadata",
            "trust": str(authority.pem),
            "certificates": [str(pinned)],
        }
        with desk.serving(**more):
            assert desk.asked(idp.response())[0] == 200
            assert desk.asked(idp.response())[0] == 200
            assert site.connections == 1
            pinned.write_text(IdpKey.new().certificate)
            desk.reload(desk.settings(**more))
            status, why = desk.asked(idp.response())
            assert (status, f"Metadata of {ISSUER} cannot be had" in why) == (502, True)


def test_an_assertion_is_exchanged_for_a_token_that_opens_many_tunnels(desk, idp):
    here = "jitgate.internal"
    with desk.serving() as gateway:
        response = idp.response()
        form = urlencode(
            {
                "grant_type": GRANT_TYPE,
                "subject_token_type": "urn:ietf:params:oauth:token-type:saml2",
                "subject_token": presented(response),
                "life": "600",
            }
        )
        with desk.tunnel(response, authority=f"{here}:443", sni=here) as tunnel:
            tunnel.send(
                f"POST /token HTTP/1.1\r\nHost: {here}\r\nContent-Length: {len(form)}\r\n"
                f"Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}".encode()
            )
            made = orjson.loads(tunnel.reply("POST").body)
        for _ in range(3):
            with Tunnel(gateway.proxy, gateway.ca, made["access_token"]) as tunnel:
                assert tunnel.ask("GET", "/").status == 200
        assert gateway.entries("decision")[-1]["subject"]["issuer"] == ISSUER
    assert presented(response)[:60] not in orjson.dumps(gateway.all_entries()).decode()
