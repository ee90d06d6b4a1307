"""Another CA: agents trust both, leaves change at the moment that was named, the old one goes."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from support.leaves import NOW, Time, leaf_of

from jitgate.errors import StateUnusable
from jitgate.proxy import rotation
from jitgate.proxy.authority import load_or_create, place

WEEK = 7 * 86400.0
HOST = "api.example"


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def authority(tmp_path, time):
    return load_or_create(tmp_path, time)


def trusts(pem: bytes, authority, at: float) -> bool:
    """Whether a client with these certificates takes what the authority shows then."""
    leaf, *_ = leaf_of(authority.context_for(HOST))
    store = Store(x509.load_pem_x509_certificates(pem))
    builder = PolicyBuilder().store(store).time(datetime.fromtimestamp(at, UTC))
    try:
        builder.build_server_verifier(x509.DNSName(HOST)).verify(leaf, [])
    except VerificationError:
        return False
    return True


def test_whoever_takes_the_file_in_time_never_sees_a_leaf_that_it_does_not_trust(
    tmp_path, authority, time
):
    file = tmp_path / "ca.pem"
    before = file.read_bytes()
    authority.context_for(HOST)  # it has a leaf of the old one
    rotation.begin(tmp_path, time.now, time.now + WEEK)
    authority.adopt()
    both = file.read_bytes()
    assert both == authority.certificate
    assert both.startswith(before)
    time.now += WEEK - 1
    assert trusts(before, authority, time.now)
    assert trusts(both, authority, time.now)
    time.now += 1
    assert trusts(both, authority, time.now)  # without a word to anybody
    assert not trusts(before, authority, time.now)
    rotation.retire(tmp_path, time.now)
    authority.adopt()
    assert trusts(both, authority, time.now)
    assert trusts(file.read_bytes(), authority, time.now)
    assert before not in file.read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["ca.key", "ca.pem"]
    again = load_or_create(tmp_path, time)
    assert again.signers.first.sha256 == authority.signers.first.sha256


def test_a_start_between_goes_by_the_moment_as_well(tmp_path, authority, time):
    rotation.begin(tmp_path, time.now, time.now + WEEK)
    for at, signs in ((NOW, 0), (NOW + WEEK, 1)):
        time.now = at
        started = load_or_create(tmp_path, time)
        leaf, _ = leaf_of(started.context_for(HOST))
        signer = started.signers.trusted[signs]
        leaf.verify_directly_issued_by(signer)


def test_until_it_signs_the_next_one_can_be_dropped_and_the_old_one_stays(tmp_path, time):
    before = load_or_create(tmp_path, time).certificate
    rotation.begin(tmp_path, time.now, time.now + WEEK)
    with pytest.raises(StateUnusable, match="on its way already"):
        rotation.begin(tmp_path, time.now, time.now + WEEK)
    with pytest.raises(StateUnusable, match=r"signs until 2027-01-22T08:00:00\+00:00"):
        rotation.retire(tmp_path, time.now)
    rotation.cancel(tmp_path, time.now)
    assert load_or_create(tmp_path, time).certificate == before
    rotation.begin(tmp_path, time.now, time.now)
    with pytest.raises(StateUnusable, match="signs already"):
        rotation.cancel(tmp_path, time.now)
    rotation.retire(tmp_path, time.now)
    for step in (rotation.cancel, rotation.retire):
        with pytest.raises(StateUnusable, match="No other CA"):
            step(tmp_path, time.now)


@pytest.mark.parametrize("step", ["begin", "cancel", "retire"])
def test_a_step_that_a_power_cut_ended_anywhere_leaves_a_ca_that_agents_trust(tmp_path, time, step):
    class Cut(Exception):
        """The power is gone."""

    for after in range(6):
        folder = tmp_path / f"{after}"
        folder.mkdir()
        authority = load_or_create(folder, time)
        if step != "begin":
            rotation.begin(folder, time.now, time.now + (WEEK if step == "cancel" else 0))
        trusted = (folder / "ca.pem").read_bytes()
        left = after

        def put(*arguments):
            nonlocal left
            if not left:
                raise Cut
            left -= 1
            place(*arguments)

        arguments = (folder, time.now, time.now + WEEK)[: 3 if step == "begin" else 2]
        with suppress(Cut):
            getattr(rotation, step)(*arguments, put=put)
        authority = load_or_create(folder, time)
        assert trusts(trusted, authority, time.now)
        assert trusts(authority.certificate, authority, time.now)


def test_what_is_wrong_in_the_folder_at_a_reload_changes_nothing(tmp_path, authority, time):
    rotation.begin(tmp_path, time.now, time.now)
    (tmp_path / "ca-next.at").write_text("soon\n")
    before, noted = authority.signers, []
    authority.adopt(noted.append)
    assert (authority.signers, noted) == (before, [])
    place(tmp_path / "ca-next.at", b"2026-01-01T00:00:00+00:00\n", 0o644)
    authority.adopt(noted.append)
    assert noted == [authority.signers]
    authority.adopt(noted.append)
    assert len(noted) == 1  # nothing has changed


def test_the_next_key_is_nobody_elses(tmp_path, authority, time):
    rotation.begin(tmp_path, time.now, time.now + WEEK)
    assert (tmp_path / "ca-next.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "ca-next.key").chmod(0o640)
    with pytest.raises(StateUnusable, match="can be used by others"):
        load_or_create(tmp_path, time)
