"""What ships keeps the promises that are asked of a site's own plugins."""

from __future__ import annotations

import functools
import json
import time
from dataclasses import replace

import jwt
from support import everything
from support.jwts import SigningKey, jwk_set
from twisted.internet.task import Clock

from jitgate.approvers.groups import MemoryGroups
from jitgate.approvers.memory import MemoryChannel
from jitgate.approvers.people import ListedPeople
from jitgate.catalogs.okta import load_okta
from jitgate.core.catalog import PathCatalog
from jitgate.credentials.carriers import InBasic, InHeader
from jitgate.credentials.kept import Kept
from jitgate.credentials.none import NoCredential
from jitgate.credentials.static import StaticCredentials
from jitgate.errors import ApproversUnreachable, PeopleUnknown
from jitgate.identity.claims import Trust
from jitgate.identity.issuers import Issuers
from jitgate.identity.keys import KeyFile
from jitgate.identity.oidc import OidcVerifier
from jitgate.identity.vendors import VENDORS
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.kinds import KINDS
from jitgate.maskers.names import NameMasker
from jitgate.maskers.paths import PathMasker
from jitgate.provided import ProvidedLending
from jitgate.rules.match import Criteria, MatchRule
from jitgate.testing import provided
from jitgate.testing.approvers import ChannelContract
from jitgate.testing.catalogs import CatalogContract
from jitgate.testing.credentials import CredentialContract
from jitgate.testing.groups import GroupsContract
from jitgate.testing.identity import IdentityContract
from jitgate.testing.lending import LendingContract
from jitgate.testing.listeners import ListenerContract
from jitgate.testing.maskers import MaskerContract
from jitgate.testing.people import PeopleContract
from jitgate.testing.records import RecordStoreContract
from jitgate.testing.rules import RuleContract
from jitgate.values import Effect, Obligation, Risk, Verdict


def rule(effect, **criteria):
    return MatchRule("mine", Criteria(**criteria), Verdict(effect, "A test"))


class TestMatchRule(RuleContract):
    def make(self):
        return rule(Effect.PERMIT, targets=("okta", "things"), actions=("*User",))

    def others(self):
        criteria = [{"actions": ("*Users",)}, {"risk": (Risk.READ,)}, {"groups": ("admins",)}]
        return [rule(Effect.DENY), *(rule(Effect.PERMIT, **each) for each in criteria)]


class TestMatchRuleForEverything(RuleContract):
    def make(self):
        verdict = Verdict(Effect.REVIEW, "A test", (Obligation("approvers", (("it",), 1)),))
        return MatchRule("mine", Criteria(), verdict)


class TestNameMasker(MaskerContract):
    def make(self):
        return NameMasker("mine", ["*secret*", "password", "a?"])

    def others(self):
        return [NameMasker("mine", ["*secret*"]), NameMasker("mine", ["password", "*secret*"])]


class TestPathMasker(MaskerContract):
    def make(self):
        return PathMasker("mine", ["$.a", "$..b[0]"])


class TestDetectorMasker(MaskerContract):
    def make(self):
        return DetectorMasker("mine", [*KINDS])


class Named:
    """What ships has no name behind most ports, since it is no plugin; a plugin's has one."""

    name, version = "built in", "1"


def named(kind, *args, **options):
    """One of that kind, with a name."""
    return type(kind.__name__, (kind, Named), {})(*args, **options)


@functools.cache
def okta():
    return load_okta("okta")


class TestOkta(CatalogContract):
    def make(self):
        made = okta()
        for attribute in ("name", "version"):
            if not hasattr(made, attribute):
                setattr(made, attribute, "built-in")
        return made

    def calls(self):
        return [("GET", "/api/v1/users"), ("POST", "/api/v1/users/00u1/lifecycle/deactivate")]


class TestPaths(CatalogContract):
    def make(self):
        return named(PathCatalog, "things")

    def calls(self):
        return [("GET", "/"), ("DELETE", "/things/1")]


class TestStaticHeader(CredentialContract):
    def make(self):
        return named(StaticCredentials, InHeader("Authorization"), b"SSWS 00-a-secret")


class TestBasic(CredentialContract):
    """A secret that its header holds in Base64."""

    def make(self):
        return named(StaticCredentials, InBasic("bot"), b"a-password")


class TestNoCredential(CredentialContract):
    def make(self):
        return named(NoCredential)


class TestKept(LendingContract):
    """Any source that has nothing to follow."""

    fixed = True

    def make(self):
        return named(Kept, StaticCredentials(InHeader("Authorization"), b"SSWS 00-a-secret"))


NOW = 1_800_000_000
ISSUER = "https://idp.example"
KEY = SigningKey.es256("k1")


class TestOidc(IdentityContract):
    def make(self):
        return named(OidcVerifier, **self.parts())

    def parts(self):
        file = self.folder / "jwks.json"
        file.write_bytes(jwk_set(KEY.jwk()))
        clock = Clock()
        clock.advance(NOW)
        trust = Trust(issuer=ISSUER, audience="jitgate", vendor=VENDORS["generic"])
        return {"trust": trust, "algorithms": {"ES256"}, "keys": KeyFile(file), "clock": clock}

    def good(self):
        return KEY.sign({"iss": ISSUER, "aud": "jitgate", "sub": "bot-7", "exp": NOW + 600})

    def bad(self):
        claims = {"iss": ISSUER, "aud": "jitgate", "sub": "bot-7", "exp": NOW + 600}
        return [KEY.sign(claims | {"exp": NOW - 600}), SigningKey.es256("k1").sign(claims)]


class TestIssuers(TestOidc):
    def make(self):
        parts = self.parts()
        return named(Issuers, {ISSUER: OidcVerifier(**parts)}, parts["clock"])


class TestMemoryChannel(ChannelContract):
    def make(self):
        return named(MemoryChannel)

    def unreachable(self):
        made = self.make()
        made.failure = ApproversUnreachable("A test.")
        return made


class TestListedPeople(PeopleContract):
    def make(self):
        return named(ListedPeople, " Eve@acme.com")

    def inactive(self):
        return "eve@acme.com"

    def cannot_tell(self):
        made = self.make()
        made.failure = PeopleUnknown("A test.")
        return made


class TestMemoryGroups(GroupsContract):
    def make(self):
        made = MemoryGroups({"S1": ["alice@acme.com", "https://idp.example bob"]})
        made.version = "1"
        return made

    def group(self):
        return "S1"

    def no_group(self):
        return "S2"

    def cannot_tell(self):
        made = self.make()
        made.failure = PeopleUnknown("A test.")
        return made


# --- a plugin that provides each port


class Plugged:
    """What one plugin provides for every port: that of this suite."""

    def make(self, **options):
        every = provided(everything.__file__, folder=str(self.folder), **options)
        return next(each for each in every if each.name == self.of_it)


class TestMinted(Plugged, CredentialContract):
    of_it = "minted"

    def operations(self):
        return [replace(each, resource={"thing": "1"}) for each in super().operations()]


class TestLent(Plugged, LendingContract):
    of_it = "lent"


class TestProvidedLending(TestLent):
    """As the gateway asks it."""

    def make(self):
        return named(ProvidedLending, "lent", super().make(), frozenset(), Clock())


class TestPartners(Plugged, IdentityContract):
    of_it = "partners"

    def good(self):
        return jwt.encode({"sub": "bot-7", "exp": time.time() + 600}, everything.KEY, "HS256")

    def bad(self):
        return [jwt.encode({"sub": "bot-7", "exp": 1}, everything.KEY, "HS256")]


class TestPager(Plugged, ChannelContract):
    of_it = "pager"


class TestLeavers(Plugged, PeopleContract):
    of_it = "leavers"

    def make(self):
        (self.folder / "left").write_text(self.inactive())
        return super().make()

    def inactive(self):
        return "eve@acme.com"

    def cannot_tell(self):
        made = self.make()
        (self.folder / "left").unlink()
        return made


class TestRota(Plugged, GroupsContract):
    of_it = "rota"

    def make(self):
        (self.folder / "duty.rota").write_text("alice@acme.com bob@acme.com")
        return super().make()

    def group(self):
        return "duty"

    def no_group(self):
        return "nobody"

    def misnamed(self):
        return "../duty"

    def cannot_tell(self):
        made = self.make()
        (self.folder / "duty.rota").unlink()
        return made


class TestThings(Plugged, CatalogContract):
    of_it = "things-catalog"

    def calls(self):
        return [("GET", "/things/1"), ("DELETE", "/things/1")]


class TestMirror(Plugged, RecordStoreContract):
    of_it = "mirror"

    def others(self):
        return [self.make(version="2")]

    def kept(self, store):
        file = self.folder / "mirror"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line)["n"] for line in lines]

    def breaks(self, store):
        (self.folder / "full").touch()

    def mends(self, store):
        (self.folder / "full").unlink()


class TestLine(Plugged, ListenerContract):
    of_it = "line"

    def port(self, listener):
        return listener.port.getHost().port
