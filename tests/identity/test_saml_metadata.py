"""Identity providers' metadata: samlp's, and what somebody may have made of it."""

from __future__ import annotations

import re
import time

import pytest
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from support.saml import ISSUER, IdpKey
from treq.client import HTTPClient
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.web.client import Agent
from twisted.web.resource import Resource
from twisted.web.server import Site

from jitgate.errors import ConfigurationInvalid, IdentityUnavailable
from jitgate.identity.freshness import FRESH_FOR, MAX_AGE, REFETCH_AFTER, RETRY_AFTER
from jitgate.identity.saml_metadata import (
    MAX_CERTIFICATES,
    MAX_METADATA,
    FetchedMetadata,
    MetadataFile,
    Provider,
    read_provider,
)
from jitgate.trust import NamedPolicy

NOW = time.time()


def body(key):
    return re.sub("-----.*-----|\n", "", key.certificate)


def test_a_providers_metadata_names_its_certificates(idp):
    found = read_provider(idp.metadata().encode(), ISSUER)
    assert found == Provider(ISSUER, (idp.key.x509,))
    assert found.at(NOW) == (idp.key.x509,)


def test_declarations_marks_and_comments_are_taken(idp):
    text = f'<?xml version="1.0" encoding="utf-8"?><!-- made by -->{idp.metadata()}'
    for data in (text.encode(), b"\xef\xbb\xbf" + text.encode()):
        assert read_provider(data, ISSUER).certificates == (idp.key.x509,)


def test_certificates_for_something_else_are_none_for_signatures(idp, forger):
    more = (
        '<KeyDescriptor use="encryption"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#">'
        f"<X509Data><X509Certificate>{body(forger)}</X509Certificate></X509Data></KeyInfo>"
        "</KeyDescriptor>"
    )
    text = idp.metadata()
    both = text.replace("<SingleLogoutService", f"{more}<SingleLogoutService", 1)
    assert read_provider(both.encode(), ISSUER).certificates == (idp.key.x509,)
    unsaid = both.replace('<KeyDescriptor use="encryption">', "<KeyDescriptor>")
    assert read_provider(unsaid.encode(), ISSUER).certificates == (idp.key.x509, forger.x509)
    service = text.replace("IDPSSODescriptor", "SPSSODescriptor")
    with pytest.raises(ValueError, match="no certificate"):
        read_provider(service.encode(), ISSUER)


def certificates(text, *keys):
    one = re.search("<X509Data>.*?</X509Data>", text, re.DOTALL)[0]
    data = [f"<X509Data><X509Certificate>{body(k)}</X509Certificate></X509Data>" for k in keys]
    return text.replace(one, "".join(data))


BROKEN = {
    "another provider": (lambda text: text.replace("/saml", "/other"), "does not describe"),
    "several providers": (
        lambda text: (
            f'<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">{text}</EntitiesDescriptor>'
        ),
        "does not describe",
    ),
    "a document type": (lambda text: f"<!DOCTYPE a>{text}", "document type"),
    "SAML 1.1": (
        lambda text: text.replace("SAML:2.0:protocol", "SAML:1.1:protocol"),
        "no certificate",
    ),
    "a broken certificate": (
        lambda text: re.sub("(<X509Certificate>)MII", r"\1MIJ", text),
        "cannot be read",
    ),
    "no XML": (lambda text: text[:-9], "not well-formed"),
    "too long": (lambda text: text + " " * MAX_METADATA, "longer than"),
    "a key too small": (lambda text: certificates(text, IdpKey.new(bits=1024)), "no certificate"),
    "none": (lambda text: certificates(text), "no certificate"),
    "too many": (
        lambda text: certificates(text, *(IdpKey.elliptic() for _ in range(MAX_CERTIFICATES + 1))),
        "or more than",
    ),
    "a validity that is none": (
        lambda text: text.replace("<EntityDescriptor ", '<EntityDescriptor validUntil="x" '),
        "validUntil",
    ),
}


@pytest.mark.parametrize(("broken", "why"), BROKEN.values(), ids=BROKEN)
def test_metadata_that_cannot_be_used_is_refused_for_its_reason(idp, broken, why):
    with pytest.raises(ValueError, match=why):
        read_provider(broken(idp.metadata()).encode(), ISSUER)


def test_metadata_and_certificates_count_for_their_time(idp):
    text = idp.metadata().replace(
        "<EntityDescriptor ", '<EntityDescriptor validUntil="2030-01-01T00:00:00Z" '
    )
    found = read_provider(text.encode(), ISSUER)
    with pytest.raises(IdentityUnavailable, match="out of date"):
        found.at(found.valid_until)
    other = Provider(ISSUER, (idp.key.x509,))
    end = idp.key.x509.not_valid_after_utc.timestamp()
    assert other.at(end) == (idp.key.x509,)
    for time_when in (end + 1, idp.key.x509.not_valid_before_utc.timestamp() - 1):
        with pytest.raises(IdentityUnavailable, match="is valid now"):
            other.at(time_when)


def test_a_file_that_cannot_be_used_stops_the_start(idp, tmp_path):
    file = tmp_path / "idp.xml"
    with pytest.raises(ConfigurationInvalid, match="cannot be used"):
        MetadataFile(file, ISSUER)
    file.write_text(idp.metadata())
    with pytest.raises(ConfigurationInvalid, match="does not describe"):
        MetadataFile(file, "https://other.example")
    assert MetadataFile(file, ISSUER)


# --- from a URL


class Published(Resource):
    """The metadata as a provider serves it."""

    isLeaf = True  # noqa: N815

    def __init__(self, text):
        super().__init__()
        self.text, self.asked, self.status = text, 0, 200

    def render_GET(self, request):
        self.asked += 1
        request.setResponseCode(self.status)
        return self.text.encode()


@pytest.fixture
def served(idp, tmp_path):
    """The provider's own site, and the metadata as it is fetched from it, with a clock by hand."""
    authority = TestCA.create(tmp_path)
    leaf = authority.leaf("127.0.0.1")
    page = Published(idp.metadata())
    context = ssl.DefaultOpenSSLContextFactory(str(leaf.key), str(leaf.cert))
    port = reactor.listenSSL(0, Site(page), context, interface="127.0.0.1")
    roots = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(authority.pem.read_bytes())])
    clock = Clock()
    clock.advance(NOW)

    def fetched(*pinned, trust=roots):
        http = HTTPClient(Agent(reactor, NamedPolicy(trust)))
        url = f"https://127.0.0.1:{port.getHost().port}/metadata"
        return FetchedMetadata(url, ISSUER, pinned, http, clock)

    yield page, fetched, clock
    port.stopListening()


@ensureDeferred
async def test_it_is_fetched_once_for_all_who_ask(served, idp):
    page, fetched, _ = served
    metadata = fetched(idp.key.x509)
    waiting = [Deferred.fromCoroutine(metadata.provider()) for _ in range(5)]
    for each in waiting:
        assert (await each).certificates == (idp.key.x509,)
    assert page.asked == 1


@ensureDeferred
async def test_of_what_is_published_only_the_pinned_counts(served, idp, forger):
    page, fetched, _ = served
    page.text = certificates(page.text, idp.key, forger)
    assert (await fetched(idp.key.x509).provider()).certificates == (idp.key.x509,)
    page.text = certificates(idp.metadata(), forger)
    with pytest.raises(IdentityUnavailable):
        await fetched(idp.key.x509).provider()


@ensureDeferred
async def test_what_is_no_longer_published_counts_no_longer(served, idp, forger):
    page, fetched, clock = served
    page.text = certificates(page.text, idp.key, forger)
    metadata = fetched(idp.key.x509, forger.x509)
    assert len((await metadata.provider()).certificates) == 2
    page.text = idp.metadata()
    clock.advance(FRESH_FOR - 1)
    assert len((await metadata.provider()).certificates) == 2
    clock.advance(1)
    assert (await metadata.provider()).certificates == (idp.key.x509,)


@ensureDeferred
async def test_an_outage_is_ridden_out_up_to_an_age(served, idp):
    page, fetched, clock = served
    metadata = fetched(idp.key.x509)
    await metadata.provider()
    page.status = 503
    clock.advance(FRESH_FOR)
    for _ in range(3):
        assert (await metadata.provider()).certificates == (idp.key.x509,)
    assert page.asked == 2
    clock.advance(MAX_AGE - FRESH_FOR)
    with pytest.raises(IdentityUnavailable):
        await metadata.provider()
    page.status = 200
    clock.advance(RETRY_AFTER)
    assert (await metadata.provider()).certificates == (idp.key.x509,)


@ensureDeferred
async def test_while_it_is_down_nobody_who_knows_it_waits(served, idp):
    page, fetched, clock = served
    metadata = fetched(idp.key.x509)
    await metadata.provider()
    page.status = 503
    clock.advance(FRESH_FOR)
    await metadata.provider()
    clock.advance(REFETCH_AFTER)
    with pytest.raises(StopIteration):
        metadata.provider().send(None)
    while page.asked < 3:
        await deferLater(reactor, 0.01)
    await metadata.provider()


@ensureDeferred
async def test_a_provider_that_is_down_is_not_asked_by_everybody(served, idp):
    page, fetched, clock = served
    page.status = 503
    metadata = fetched(idp.key.x509)
    for _ in range(3):
        with pytest.raises(IdentityUnavailable):
            await metadata.provider()
    assert page.asked == 1
    page.status = 200
    clock.advance(RETRY_AFTER)
    assert (await metadata.provider()).certificates == (idp.key.x509,)


@ensureDeferred
async def test_somebody_else_at_the_url_is_not_believed(served, idp):
    page, fetched, _ = served
    with pytest.raises(IdentityUnavailable):
        await fetched(idp.key.x509, trust=ssl.platformTrust()).provider()
    assert page.asked == 0


def test_certificates_must_be_pinned(served):
    _, fetched, _ = served
    for pinned in ([], [IdpKey.new(bits=1024).x509]):
        with pytest.raises(ValueError, match="pinned"):
            fetched(*pinned)
