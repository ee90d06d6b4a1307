"""The state folder: its keys are made once, kept private, and a doubtful one stops the start."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from jitgate.core.note import Signer, VerifierKey
from jitgate.errors import StateUnusable
from jitgate.stores.state import SECRET_BYTES, StateFolder, read_secret, secret_line
from jitgate.values import SecretAt


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep" / "state"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_nobody_elses(folder):
    old = os.umask(0)
    try:
        state = StateFolder(folder)
        state.site_key()
        signing = state.signing_keys()
        state.signed_by(Signer(signing.site, signing.key))
    finally:
        os.umask(old)
    assert mode(folder) == 0o700
    assert {each.name: mode(each) for each in folder.iterdir()} == {
        "site-hmac.key": 0o600,
        "site.key": 0o600,
        "site.name": 0o600,
        "site.vkey": 0o644,
    }


def test_keys_are_made_once(folder):
    first, second = StateFolder(folder), StateFolder(folder)
    assert first.site_key() == second.site_key()
    assert len(first.site_key()) == 32
    (name, key, _), (again, same, _) = first.signing_keys(), second.signing_keys()
    assert name == again
    assert key.private_bytes_raw() == same.private_bytes_raw()


def test_one_key_signs_one_recording(folder, tmp_path):
    StateFolder(folder).signs(tmp_path / "here")
    StateFolder(folder).signs(tmp_path / "here")
    with pytest.raises(StateUnusable, match=f"signs the recording in {tmp_path}/here, not "):
        StateFolder(folder).signs(tmp_path / "elsewhere")
    StateFolder(folder).signs(tmp_path / "here")


def test_two_sites_share_neither_name_nor_key(tmp_path):
    one, two = StateFolder(tmp_path / "a"), StateFolder(tmp_path / "b")
    assert one.site_key() != two.site_key()
    assert one.signing_keys().site != two.signing_keys().site


def test_the_public_half_stands_beside_the_key(folder):
    signing = StateFolder(folder).signing_keys()
    signer = Signer(signing.site, signing.key)
    StateFolder(folder).signed_by(signer)
    assert VerifierKey.parse((folder / "site.vkey").read_text()) == signer.verifier


@pytest.mark.parametrize("file", ["site-hmac.key", "site.key"])
@pytest.mark.parametrize("loose", [0o644, 0o640, 0o660, 0o604])
def test_a_key_that_others_can_use_stops_the_start(folder, file, loose):
    state = StateFolder(folder)
    state.site_key(), state.signing_keys()
    (folder / file).chmod(loose)
    with pytest.raises(StateUnusable, match="chmod 600"):
        state.site_key(), state.signing_keys()


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("site-hmac.key", b""),
        ("site-hmac.key", b"x" * 31),
        ("site-hmac.key", b"x" * 33),
        ("site.key", b""),
        ("site.key", b"garbage"),
    ],
)
def test_a_damaged_key_stops_the_start_and_is_not_replaced(folder, file, data):
    state = StateFolder(folder)
    state.site_key(), state.signing_keys()
    (folder / file).write_bytes(data)
    with pytest.raises(StateUnusable, match=file):
        state.site_key(), state.signing_keys()
    assert (folder / file).read_bytes() == data


@pytest.mark.parametrize("password", [None, b"x"])
def test_a_key_of_another_kind_stops_the_start(folder, password):
    state = StateFolder(folder)
    coding = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, coding
    )
    (folder / "site.key").touch(mode=0o600)
    (folder / "site.key").write_bytes(pem)
    with pytest.raises(StateUnusable, match=r"site\.key"):
        state.signing_keys()


@pytest.mark.parametrize("place", ["/proc/none/state", "/dev/null/state", "/dev/null"])
def test_a_folder_that_cannot_be_made_stops_the_start(place):
    with pytest.raises(StateUnusable, match="unusable"):
        StateFolder(Path(place))


# --- secrets


def secret(tmp_path, mode=0o600, data=b"hunter2"):
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    file.write_bytes(data)
    file.chmod(mode)
    return file


def test_a_private_file_is_read(tmp_path):
    assert read_secret(secret(tmp_path)) == b"hunter2"
    assert read_secret(secret(tmp_path, 0o400)) == b"hunter2"


@pytest.mark.parametrize("loose", [0o644, 0o640, 0o620, 0o610, 0o601])
def test_a_file_that_others_can_use_is_no_secret(tmp_path, loose):
    with pytest.raises(StateUnusable, match="chmod 600") as caught:
        read_secret(secret(tmp_path, loose))
    assert "hunter2" not in str(caught.value)


def test_a_link_is_as_private_as_what_it_leads_to(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(secret(tmp_path, 0o644))
    with pytest.raises(StateUnusable):
        read_secret(link)


@pytest.mark.needs_root
def test_a_file_of_another_user_is_no_secret(tmp_path):
    file = secret(tmp_path)
    os.chown(file, 12345, 12345)
    with pytest.raises(StateUnusable, match="another user"):
        read_secret(file)


def test_what_is_no_file_is_no_secret_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("fifo", ".", "none"):
        with pytest.raises(StateUnusable):
            read_secret(tmp_path / name)


def test_the_end_of_a_line_is_no_part_of_a_secret_that_is_one(tmp_path):
    assert secret_line(secret(tmp_path, data=b" hunter2 \r\n")) == b" hunter2 "


# --- what stands elsewhere than in a file


@pytest.fixture
def environment(monkeypatch):
    """The environment that the gateway was started with."""
    monkeypatch.setattr("jitgate.stores.state._TAKEN", {})
    return monkeypatch


def handed(environment, folder, **modes):
    """What systemd hands to a service."""
    environment.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return secret(folder, **modes)


def test_a_variable_is_read_and_no_process_inherits_it(environment):
    environment.setenv("A_SECRET", "hünter2")
    assert read_secret(SecretAt("env", "A_SECRET")) == "hünter2".encode()
    assert "A_SECRET" not in os.environ
    seen = subprocess.run(["env"], capture_output=True, check=True).stdout
    assert b"A_SECRET" not in seen


def test_a_reload_reads_what_was_read_from_the_environment_first(environment):
    environment.setenv("A_SECRET", "hunter2")
    both = [read_secret(SecretAt("env", "A_SECRET")) for _ in range(2)]
    assert both == [b"hunter2"] * 2


def test_a_variable_that_is_not_set_is_said_to_be_missing(environment):
    with pytest.raises(StateUnusable, match="env:A_SECRET.*without that variable"):
        read_secret(SecretAt("env", "A_SECRET"))


def test_a_variable_is_no_longer_than_a_file(environment):
    environment.setenv("A_SECRET", "x" * (SECRET_BYTES + 1))
    with pytest.raises(StateUnusable, match="env:A_SECRET has more than"):
        read_secret(SecretAt("env", "A_SECRET"))


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_what_systemd_hands_over_is_read(environment, tmp_path, mode):
    handed(environment, tmp_path, mode=mode)
    assert read_secret(SecretAt("credential", "secret")) == b"hunter2"


@pytest.mark.needs_root
def test_what_roots_list_lets_one_user_read_is_private(environment, tmp_path):
    """systemd's own way: the file is root's, and an entry of its list is the service's user."""
    file = handed(environment, tmp_path, mode=0o400)
    everybody = 2**32 - 1
    entries = [(0x01, 4, everybody), (0x02, 4, 12345), (0x04, 0, everybody), (0x10, 4, everybody)]
    packed = [struct.pack("<HHI", *each) for each in (*entries, (0x20, 0, everybody))]
    os.setxattr(file, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(packed))
    assert file.stat().st_mode & 0o777 == 0o440
    assert read_secret(SecretAt("credential", "secret")) == b"hunter2"
    with pytest.raises(StateUnusable, match="can be used by others"):
        read_secret(file)


@pytest.mark.needs_root
def test_what_a_group_may_read_is_not_private_however_it_came(environment, tmp_path):
    file = handed(environment, tmp_path, mode=0o440)
    os.chown(file, 0, 12345)
    with pytest.raises(StateUnusable, match="can be used by others"):
        read_secret(SecretAt("credential", "secret"))


@pytest.mark.parametrize("mode", [0o404, 0o444, 0o660, 0o666])
def test_what_others_can_use_is_not_private_however_it_came(environment, tmp_path, mode):
    handed(environment, tmp_path, mode=mode)
    with pytest.raises(StateUnusable, match="can be used by others"):
        read_secret(SecretAt("credential", "secret"))


@pytest.mark.parametrize("folder", [None, "", "here"])
def test_without_systemd_there_are_no_credentials_of_its(environment, folder):
    environment.delenv("CREDENTIALS_DIRECTORY", raising=False)
    if folder is not None:
        environment.setenv("CREDENTIALS_DIRECTORY", folder)
    with pytest.raises(StateUnusable, match="LoadCredential=secret:PATH"):
        read_secret(SecretAt("credential", "secret"))


def test_a_credential_that_was_not_handed_over_is_said_to_be_missing(environment, tmp_path):
    environment.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(StateUnusable, match="no such file"):
        read_secret(SecretAt("credential", "other"))


def test_the_signing_key_may_be_what_systemd_hands_over_and_none_is_made_then(
    environment, tmp_path, folder
):
    made = StateFolder(folder).signing_keys()
    there = handed(environment, tmp_path, data=(folder / "site.key").read_bytes())
    other = StateFolder(tmp_path / "other")
    name, key, before = other.signing_keys(SecretAt("credential", there.name))
    assert (name, key.private_bytes_raw()) == (made.site, made.key.private_bytes_raw())
    assert before is None
    assert not (tmp_path / "other" / "site.key").exists()
    there.write_bytes(b"x")
    with pytest.raises(StateUnusable, match=f"credential:{there.name} is not a PEM"):
        other.signing_keys(SecretAt("credential", there.name))


def test_a_key_that_is_to_take_over_is_there_beside_the_one_before_until_it_has_signed(folder):
    state = StateFolder(folder)
    first = state.signing_keys()
    coming = state.next_key()
    assert raw(state.next_key()) == raw(coming)
    between = StateFolder(folder).signing_keys()
    assert (between.site, raw(between.key), raw(between.before)) == (
        *(first.site, raw(coming)),
        raw(first.key),
    )
    state.signed_by(Signer(first.site, first.key))
    assert (folder / "site.key.next").exists()
    state.signed_by(Signer(first.site, coming))
    after = StateFolder(folder).signing_keys()
    assert (after.site, raw(after.key), after.before) == (first.site, raw(coming), None)
    assert not (folder / "site.key.next").exists()


def test_the_name_stays_that_of_the_first_key_where_the_key_stands_elsewhere(tmp_path, folder):
    made = StateFolder(folder).signing_keys()
    before, other = SecretAt("file", str(folder / "site.key")), tmp_path / "new.key"
    StateFolder(tmp_path / "b").signing_keys()
    other.touch(mode=0o600)
    other.write_bytes((tmp_path / "b" / "site.key").read_bytes())
    new = SecretAt("file", str(other))
    for each in (StateFolder(folder), StateFolder(tmp_path / "moved")):
        found = each.signing_keys(new, before)
        assert (found.site, raw(found.before)) == (made.site, raw(made.key))
        assert each.signing_keys(new).site == made.site


def test_the_name_of_a_site_that_was_damaged_stops_the_start(folder):
    StateFolder(folder).signing_keys()
    (folder / "site.name").write_text("two words\n")
    with pytest.raises(StateUnusable, match=r"site\.name"):
        StateFolder(folder).signing_keys()


def raw(key):
    return key.private_bytes_raw()
