"""The state folder: the gateway's own keys, and the check that nobody else can read a secret.

Everything in it is the gateway's alone. Keys are made at the first start and never leave it; the
public half of the signing key stands beside it, for auditors to take away.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from jitgate.core.note import NoteInvalid, Signer
from jitgate.errors import StateUnusable
from jitgate.stores.durably import make_folder, sync_folder, write_whole
from jitgate.stores.last_signed import LastSigned
from jitgate.values import SecretAt

SITE_KEY_BYTES = 32
"""Bytes of the key that keys every digest shown to people: as many as SHA-256 has."""

SECRET_BYTES = 64 * 1024
"""Bytes of a secret's file; the largest, an RSA-8192 key, has 7 KiB."""


class StateFolder:
    """Opens a state folder, made if it does not exist. Raises `StateUnusable`, a sentence each.

    ``shared``: other users answer at the socket in it. They may pass through the folder then, and
    still neither list it nor read what is in it. None: that stays as it is.
    """

    def __init__(self, folder: Path, *, shared: bool | None = False) -> None:
        self._folder = folder
        try:
            make_folder(folder, 0o700)
        except OSError as error:
            raise StateUnusable(f"The state folder {folder} is unusable: {_why(error)}.") from error
        if shared is not None:
            self.share(shared)
        if not os.access(folder, os.W_OK):
            raise StateUnusable(f"The state folder {folder} cannot be written to.")

    def share(self, shared: bool) -> None:
        """Let other users pass through to the socket, or not."""
        try:
            self._folder.chmod(0o711 if shared else 0o700)
        except OSError as error:
            raise StateUnusable(
                f"The state folder {self._folder} is unusable: {_why(error)}."
            ) from error

    def lock(self) -> int:
        """Keep every other gateway out until this process ends: one key signs one recording.

        A process that inherits the descriptor keeps them out as well, until it has ended too.
        """
        file = self._folder / "lock"
        try:
            # Never closed: the lock lasts as long as the descriptor.
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateUnusable(
                f"Another gateway runs on the state folder {self._folder}. End it first, or name "
                "another folder."
            ) from error
        except OSError as error:
            raise StateUnusable(f"{file} cannot be locked: {_why(error)}.") from error
        return descriptor

    @property
    def authority(self) -> Path:
        """Where the certificate authority keeps its key and certificate."""
        return self._folder

    @property
    def database(self) -> Path:
        """Where access requests and grants are kept."""
        return self._folder / "access.sqlite"

    def site_key(self) -> bytes:
        """The key of every keyed digest."""
        file = self._folder / "site-hmac.key"
        if not file.exists():
            _write(file, secrets.token_bytes(SITE_KEY_BYTES), 0o600)
        key = read_secret(file)
        if len(key) != SITE_KEY_BYTES:
            raise StateUnusable(f"{file} is not a key of {SITE_KEY_BYTES} bytes.")
        return key

    def signs(self, recording: Path) -> None:
        """Bind the signing key to one recording: a key that signs two trees proves neither."""
        file = self._folder / "site.recording"
        if not file.exists():
            _write(file, f"{recording}\n".encode(), 0o600)
        bound = file.read_text().strip()
        if bound != f"{recording}":
            raise StateUnusable(
                f"The key in {self._folder} signs the recording in {bound}, not {recording}. If "
                f"that folder was moved there whole, remove {file}; else take a new state folder."
            )

    @property
    def last_signed(self) -> LastSigned:
        """The head that the key here has signed last."""
        return LastSigned(self._folder / "site.signed")

    def signing_keys(
        self, secret: SecretAt | None = None, before: SecretAt | None = None
    ) -> SigningKeys:
        """What signs the site's checkpoints: in ``secret``, or made here.

        With it the key before, where it is there: ``before``, or the one here that a rotation was
        about to replace.
        """
        file, coming = self._folder / "site.key", self._folder / "site.key.next"
        if secret is None and not file.exists():
            _write(file, _pem(Ed25519PrivateKey.generate()), 0o600)
        key = ed25519_key(secret or file)
        old = None if before is None else ed25519_key(before)
        if secret is None and coming.exists():
            key, old = ed25519_key(coming), key
        return SigningKeys(self._site_name(old or key), key, old)

    def next_key(self) -> Ed25519PrivateKey:
        """The key that is to take over from the one here; durable before anybody is told of it."""
        coming = self._folder / "site.key.next"
        if not coming.exists():
            _write(coming, _pem(Ed25519PrivateKey.generate()), 0o600)
        return ed25519_key(coming)

    def signed_by(self, signer: Signer) -> None:
        """The recording is signed by this key: its public half is laid out for auditors.

        If it is the one that was to take over, it takes the place of the one before.
        """
        coming = self._folder / "site.key.next"
        if coming.exists() and Signer(signer.name, ed25519_key(coming)).verifier == signer.verifier:
            try:
                coming.replace(self._folder / "site.key")
                sync_folder(self._folder)
            except OSError as error:
                raise StateUnusable(f"{coming} cannot be renamed: {_why(error)}.") from error
        _write(self._folder / "site.vkey", f"{signer.verifier.text}\n".encode(), 0o644)

    def _site_name(self, first: Ed25519PrivateKey) -> str:
        """The site's name, by the hash of its first key; it stays when that is rotated."""
        file = self._folder / "site.name"
        if not file.exists():
            digest = hashlib.sha256(first.public_key().public_bytes_raw()).hexdigest()
            _write(file, f"jitgate/{digest[:16]}\n".encode(), 0o600)
        name = read_secret(file).decode(errors="replace").strip()
        try:
            Signer(name, first).verifier  # noqa: B018 (it refuses what is no name)
        except NoteInvalid as error:
            raise StateUnusable(f"{file} does not hold the site's name: {error}.") from None
        return name


class SigningKeys(NamedTuple):
    """What signs a site's checkpoints."""

    site: str
    """The site's name."""
    key: Ed25519PrivateKey
    before: Ed25519PrivateKey | None
    """The key that ``key`` takes over from, where it is there."""

    def __repr__(self) -> str:
        return f"SigningKeys({self.site!r})"


def ed25519_key(secret: SecretAt | Path) -> Ed25519PrivateKey:
    """A private key in PEM, without a passphrase. Raises `StateUnusable`."""
    try:
        key = serialization.load_pem_private_key(read_secret(secret), None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise StateUnusable(f"{secret} is not a PEM private key.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StateUnusable(f"{secret} is not an Ed25519 key.")
    return key


def read_secret(secret: SecretAt | Path) -> bytes:
    """The bytes of a secret that nobody else may read. Raises `StateUnusable` if somebody may.

    A path is that of a file.
    """
    if isinstance(secret, Path):
        return _in_file(secret)
    if secret.kind == "file":
        return _in_file(Path(secret.name))
    if secret.kind == "credential":
        return _in_file(_credential(secret.name), handed=True)
    return _in_environment(secret.name)


def secret_line(secret: SecretAt | Path) -> bytes:
    """As `read_secret`, without the line's end that editors and ``echo`` leave."""
    return read_secret(secret).strip(b"\r\n")


def _in_file(file: Path, *, handed: bool = False) -> bytes:
    try:
        with open(file, "rb", opener=_at_once) as opened:
            _check_private(file, os.fstat(opened.fileno()), handed=handed)
            return opened.read(SECRET_BYTES)
    except OSError as error:
        raise StateUnusable(f"{file} cannot be read: {_why(error)}.") from error


def _at_once(file: str, flags: int) -> int:
    """Opens without waiting for another end, as a pipe in the place of a file would."""
    return os.open(file, flags | os.O_NONBLOCK)


def _check_private(file: Path, status: os.stat_result, *, handed: bool) -> None:
    """Only its owner, who is root or the gateway, can use it.

    ``handed``: systemd lets a service's user read what is root's by an access control list, where
    the file system has such. The bits of the group are the mask of that list then (acl(5)).
    """
    if not stat.S_ISREG(status.st_mode):
        raise StateUnusable(f"{file} is not a regular file.")
    listed = handed and (status.st_uid, status.st_gid) == (0, 0)
    if status.st_mode & (0o037 if listed else 0o077):
        mode = stat.S_IMODE(status.st_mode)
        raise StateUnusable(f"{file} can be used by others (mode {mode:04o}): chmod 600 {file}.")
    if status.st_uid not in {0, os.geteuid()}:
        raise StateUnusable(f"{file} belongs to another user (uid {status.st_uid}).")


def _credential(name: str) -> Path:
    """The file that systemd makes of a credential, for this service alone (systemd.exec(5))."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder.startswith("/"):
        raise StateUnusable(
            f"credential:{name} cannot be read: CREDENTIALS_DIRECTORY is not set. systemd sets it "
            f"for a service whose unit says LoadCredential={name}:PATH."
        )
    return Path(folder) / name


_TAKEN: dict[str, bytes] = {}
"""What stood in the environment, by the variable's name: it is the process's, and read once."""


def environment() -> dict[bytes, bytes]:
    """What a process of the gateway's own is started with, so that it can read the same."""
    return {**os.environb, **{name.encode("ascii"): value for name, value in _TAKEN.items()}}


def _in_environment(name: str) -> bytes:
    """A variable, taken out of the environment: no process that is started inherits it.

    Nobody can change the environment of a process that runs, so a reload reads what was read first.
    """
    value = os.environb.pop(name.encode("ascii"), None)
    if value is not None:
        _TAKEN[name] = value
    if name not in _TAKEN:
        raise StateUnusable(
            f"env:{name} cannot be read: the gateway was started without that variable."
        )
    if len(_TAKEN[name]) > SECRET_BYTES:
        raise StateUnusable(f"env:{name} has more than {SECRET_BYTES} bytes.")
    return _TAKEN[name]


def _write(file: Path, data: bytes, mode: int) -> None:
    try:
        write_whole(file, data, mode)
    except OSError as error:
        raise StateUnusable(f"{file} cannot be written: {_why(error)}.") from error


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
