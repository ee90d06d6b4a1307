"""Every secret that the configuration names is read when it is checked, wherever it is."""

from __future__ import annotations

import orjson
import pytest
from support.counterparts import TestCA
from support.gateway import settings, target
from support.tokens import Tokens
from twisted.internet import reactor

from jitgate.app import check
from jitgate.config import load
from jitgate.errors import ConfigurationInvalid


class Site:
    """A configuration with one target for each place where a secret can stand."""

    def __init__(self, folder):
        self.folder = folder
        self.jwks, self.ca = Tokens(folder).jwks, TestCA.create(folder, name="origin").pem

    def checked(self, *credentials):
        targets = [
            target(1, self.ca, name=f"t{at}", hosts=[f"t{at}.example"], credential=each)
            for at, each in enumerate(credentials)
        ]
        file = self.folder / "jitgate.yaml"
        file.write_bytes(orjson.dumps(settings(self.folder, self.jwks, targets)))
        return check(load(file), reactor)


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setattr("jitgate.stores.state._TAKEN", {})
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return Site(tmp_path)


def static(secret):
    return {"type": "static", "header": "Authorization", "value": secret}


def vault(**auth):
    return {
        "type": "vault",
        "address": "https://vault.example",
        "auth": auth,
        "path": "a",
        "field": "b",
        "as": {"query": "key"},
    }


def unset(name):
    return f"env:{name} cannot be read: the gateway was started without that variable."


def not_handed(name):
    return (
        f"credential:{name} cannot be read: CREDENTIALS_DIRECTORY is not set. systemd sets it for "
        f"a service whose unit says LoadCredential={name}:PATH."
    )


def test_all_that_cannot_be_read_is_told_at_once_with_what_to_do(site):
    with pytest.raises(ConfigurationInvalid) as raised:
        site.checked(
            static("file:./nothing"),
            static("env:NOT_SET"),
            static("credential:not-there"),
            {"type": "static", "basic": {"username": "a", "password": "env:NOT_SET_EITHER"}},
            vault(token="env:NO_TOKEN"),
            vault(approle={"role_id": "a", "secret_id": "credential:no-secret-id"}),
        )
    told = raised.value.problems
    assert [each.partition(": ")[2] for each in told] == [
        f"{site.folder}/nothing cannot be read: no such file or directory.",
        unset("NOT_SET"),
        not_handed("not-there"),
        unset("NOT_SET_EITHER"),
        unset("NO_TOKEN"),
        not_handed("no-secret-id"),
    ]
    assert all(f"{site.folder}/jitgate.yaml:" in each for each in told)


def test_a_vault_is_not_asked_when_the_configuration_is_checked(site, monkeypatch):
    """Nothing listens there, and nothing is wrong with that by now."""
    monkeypatch.setenv("A_VAULTS_TOKEN", "s.not-a-real-one")
    assert "t0.example" in site.checked(vault(token="env:A_VAULTS_TOKEN"))
