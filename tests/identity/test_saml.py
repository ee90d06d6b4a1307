"""What an assertion that samlp signed proves, and what one that says something else does not."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from identity.assertions import proved, reason, rewritten, subject, trusting
from lxml import etree
from signxml import XMLSigner
from support.saml import (
    DIGEST,
    ENVELOPED,
    EXCLUSIVE,
    ISSUER,
    MORE,
    IdpKey,
    alone,
    unsigned,
)

from jitgate.identity.claims import LEEWAY, MAX_LIFE
from jitgate.identity.saml import ELSEWHERE, EMAIL, PERSISTENT, TRANSIENT
from jitgate.identity.saml_xml import SIGNATURE, saml


def signed_by_signxml(idp, key, algorithm):
    """An assertion as xml-crypto cannot sign it."""
    placed = unsigned(idp.assertion()).replace(
        "</saml:Issuer>", f'</saml:Issuer><Signature xmlns="{SIGNATURE}" Id="placeholder"/>'
    )
    root = etree.fromstring(placed)
    signer = XMLSigner(signature_algorithm=algorithm, c14n_algorithm=EXCLUSIVE)
    signed = signer.sign(root, key=key.key, reference_uri=root.get("ID"), id_attribute="ID")
    return etree.tostring(signed)


def signed_as_okta_does(idp, prefixes):
    """With prefixes that canonicalization keeps, which neither xml-crypto nor signxml writes."""
    root = etree.fromstring(idp.assertion())
    sign_as_okta_does(root, idp, prefixes)
    return etree.tostring(root)


def sign_as_okta_does(root, idp, prefixes):
    """Put such a signature in the place of the one that there is."""
    root.remove(root[1])
    form = {"method": "c14n", "exclusive": True, "inclusive_ns_prefixes": prefixes}
    digest = base64.b64encode(hashlib.sha256(etree.tostring(root, **form)).digest()).decode()
    kept = f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="{" ".join(prefixes)}"/>'
    info = etree.fromstring(
        f'<SignedInfo xmlns="{SIGNATURE}"><CanonicalizationMethod Algorithm="{EXCLUSIVE}"/>'
        f'<SignatureMethod Algorithm="{MORE}rsa-sha256"/><Reference URI="#{root.get("ID")}">'
        f'<Transforms><Transform Algorithm="{ENVELOPED}"/><Transform Algorithm="{EXCLUSIVE}">{kept}'
        f'</Transform></Transforms><DigestMethod Algorithm="{DIGEST}"/>'
        f"<DigestValue>{digest}</DigestValue></Reference></SignedInfo>"
    )
    key = load_pem_private_key(idp.key.key.encode(), None)
    data = etree.tostring(info, method="c14n", exclusive=True)
    value = base64.b64encode(key.sign(data, padding.PKCS1v15(), hashes.SHA256())).decode()
    signature = etree.SubElement(root, f"{{{SIGNATURE}}}Signature", nsmap={None: SIGNATURE})
    signature.append(info)
    etree.SubElement(signature, f"{{{SIGNATURE}}}SignatureValue").text = value
    root.insert(1, signature)


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


# --- what is proved


def test_an_assertion_and_a_response_with_one_prove_the_same(idp):
    response = idp.response(attributes={"groups": ["it-agents", "staff"]}, sessionIndex="s-1")
    found = subject(response, idp)
    assert found == subject(alone(response), idp)
    assert (found.issuer, found.id, found.session) == (ISSUER, "bot-7", "s-1")
    assert found.groups == {"it-agents", "staff"}
    assert (found.humans, found.agent) == ((), None)
    assert 590 < found.expires_at - time.time() < 601


XS = (
    'xmlns:xs="http://www.w3.org/2001/XMLSchema" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string"'
)
VALUE = f"<saml:AttributeValue {XS}>%s</saml:AttributeValue>"
FORMAT = 'NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic"'


@pytest.mark.parametrize(
    ("many", "group", "value"),
    [
        (300, "group-%d", "<saml:AttributeValue>%s</saml:AttributeValue>"),
        (300, "group-%d", VALUE),
        (300, "it's group %d", VALUE),
        (300, "\xe5\xe4\xf6-%d", VALUE),
        (300, "CN=g-%d,OU=all,DC=acme", "<saml:AttributeValue>%s</saml:AttributeValue>"),
        (180, "g-%d", f'</saml:Attribute><saml:Attribute Name="groups" {FORMAT}>{VALUE}'),
    ],
    ids=["plain", "as Okta", "with apostrophes", "letters", "distinguished names", "as Keycloak"],
)
def test_hundreds_of_groups_are_not_too_many_however_they_are_written(idp, many, group, value):
    more = "".join(
        f'<saml:Attribute Name="n{number}" {FORMAT} FriendlyName="n">{VALUE % number}</saml:Attribute>'
        for number in range(20)
    )
    groups = [group % number for number in range(many)]
    written = "".join(value % each for each in groups)
    assertion = unsigned(idp.assertion()).replace(
        "</saml:Attribute>", f"{written}</saml:Attribute>"
    )
    whole = assertion.replace("</saml:AttributeStatement>", f"{more}</saml:AttributeStatement>")
    response = idp.response(signResponse=True)
    document = response.replace(alone(response), idp.sign(whole))
    assert subject(document, idp).groups == {"it-agents", *groups}


def test_it_is_known_when_it_was_made(idp):
    """Or an assertion that was made after its subject was revoked would count no more than before."""
    now = int(time.time())
    for issued, seconds in ((now - 60, 0.0), (now + LEEWAY - 1, 0.0), (now - 60, 0.25)):
        made = stamp(issued).replace("Z", f"{seconds:.2f}Z".lstrip("0"))
        found = proved(rewritten(idp, ('IssueInstant="[^"]*"', f'IssueInstant="{made}"')), idp)
        assert found.subject.issued_at == issued + seconds


def test_it_is_made_no_further_ahead_than_clocks_differ(idp):
    now = int(time.time())
    made = rewritten(idp, ('IssueInstant="[^"]*"', f'IssueInstant="{stamp(now + LEEWAY)}"'))
    assert proved(made, idp, now=now).subject.issued_at == now + LEEWAY
    assert "IssueInstant lies ahead" in proved(made, idp, now=now - 1)


def test_without_a_session_it_is_named_by_its_id(idp):
    assertion = idp.assertion()
    found = proved(assertion, idp)
    assert found.id in assertion
    assert found.subject.session == found.id


def test_a_response_that_is_signed_as_well_is_taken_for_its_signed_assertion(idp):
    assert subject(idp.response(signResponse=True), idp).id == "bot-7"


def test_a_response_whose_signature_covers_an_unsigned_assertion_proves_nothing(idp):
    response = idp.response(signAssertion=False, signResponse=True)
    assert "not signed itself" in reason(response, idp)


def test_an_address_is_a_human_and_so_are_those_of_the_attribute_and_the_owner(idp):
    trust = {"email": "mail", "owners": {"bot-7": "bob@acme.example"}}
    given = {"mail": ["ann@acme.example", "a.b@acme.example"]}
    found = subject(idp.assertion(attributes=given), idp, **trust)
    assert found.humans == ("bob@acme.example", "ann@acme.example", "a.b@acme.example")
    named = subject(idp.assertion("ann@acme.example", given, name_format=EMAIL), idp, **trust)
    assert (named.id, named.humans) == ("ann@acme.example", ("a.b@acme.example",))


def test_no_group_is_none(idp):
    assert subject(idp.assertion(attributes={"groups": ["", "a"]}), idp).groups == {"a"}
    assert subject(idp.assertion(attributes={"other": "x"}), idp).groups == frozenset()
    assert subject(idp.assertion(), idp, groups=None).groups == frozenset()


def test_groups_that_come_one_by_one_are_all_taken(idp):
    """As Keycloak sends them."""
    again = '<saml:Attribute Name="groups"><saml:AttributeValue>b</saml:AttributeValue></saml:Attribute>'
    document = rewritten(idp, ("</saml:AttributeStatement>", f"{again}</saml:AttributeStatement>"))
    assert subject(document, idp).groups == {"it-agents", "b"}


def test_the_earliest_end_counts(idp):
    soon = stamp(time.time() + 60)
    ends = rewritten(
        idp, ("<saml:AuthnStatement", f'<saml:AuthnStatement SessionNotOnOrAfter="{soon}"')
    )
    assert subject(ends, idp).expires_at - time.time() < 61
    confirmed = rewritten(idp, (r'(Data )NotOnOrAfter="[^"]*"', rf'\1NotOnOrAfter="{soon}"'))
    assert subject(confirmed, idp).expires_at - time.time() < 61
    conditions = rewritten(
        idp, (r'(NotBefore="[^"]*" )NotOnOrAfter="[^"]*"', rf'\1NotOnOrAfter="{soon}"')
    )
    assert subject(conditions, idp).expires_at - time.time() < 61


def test_the_end_is_exact_and_the_begin_has_some_leeway(idp):
    assertion = idp.assertion()
    found = proved(assertion, idp)
    end, begin = found.subject.expires_at, found.subject.expires_at - 600
    assert not isinstance(proved(assertion, idp, now=end - 0.001), str)
    assert "expired" in proved(assertion, idp, now=end)
    assert not isinstance(proved(assertion, idp, now=begin - LEEWAY), str)
    assert isinstance(proved(assertion, idp, now=begin - LEEWAY - 0.01), str)
    assert LEEWAY <= 60


def test_it_must_not_live_for_long(idp):
    sound = idp.assertion(lifetimeInSeconds=MAX_LIFE)
    assert not isinstance(proved(sound, idp), str)
    assert "24 hours" in reason(idp.assertion(lifetimeInSeconds=MAX_LIFE + LEEWAY + 60), idp)


def test_a_value_that_is_required_must_be_there_and_no_other(idp):
    for value, values in (("prod", ("prod",)), ("prod", ("test", "prod"))):
        assert subject(idp.assertion(attributes={"env": value}), idp, required={"env": values})
    for given in ({}, {"env": "test"}, {"env": ["prod", "test"]}, {"env": "PROD"}):
        document = idp.assertion(attributes={"other": "x"} | given)
        assert "required" in reason(document, idp, required={"env": ("prod",)})


def test_it_is_used_once_whether_it_asks_for_that_or_not(idp):
    document = rewritten(idp, ("</saml:Conditions>", "<saml:OneTimeUse/></saml:Conditions>"))
    assert subject(document, idp).id == "bot-7"


def test_a_prefix_may_be_kept_as_okta_does(idp):
    assert subject(signed_as_okta_does(idp, ["xs"]), idp).id == "bot-7"
    assert "canonical" in reason(signed_as_okta_does(idp, list("abcdefghi")), idp)


def test_a_prefix_that_is_kept_may_be_declared_around_the_assertion(idp):
    """Whoever takes the assertion out must take the declaration along, or the digest is another."""
    xs = ' xmlns:xs="http://www.w3.org/2001/XMLSchema"'
    response = etree.fromstring(
        idp.response().replace(xs, "").replace("<samlp:Response", f"<samlp:Response{xs}")
    )
    sign_as_okta_does(response.find(saml("Assertion")), idp, ["xs"])
    assert subject(etree.tostring(response), idp).groups == {"it-agents"}
    elsewhere = etree.tostring(response).replace(b"2001/XMLSchema", b"2001/Other", 1)
    assert "signature is not" in reason(elsewhere, idp)


@pytest.mark.parametrize("form", [PERSISTENT, EMAIL])
def test_formats_of_names_are_told_apart(idp, form):
    word = {PERSISTENT: "persistent", EMAIL: "email"}[form]
    document = idp.assertion("ann@acme.example", name_format=form)
    assert subject(document, idp, name_ids=frozenset({word})).id == "ann@acme.example"
    assert "format" in reason(document, idp, name_ids=frozenset({"unspecified"}))


def test_other_algorithms_are_taken_where_they_are_named(idp):
    signed = idp.sign(unsigned(idp.assertion()), signature=f"{MORE}rsa-sha512")
    assert "algorithm" in reason(signed, idp)
    assert subject(signed, idp, algorithms=frozenset({"rsa-sha512"})).id == "bot-7"
    with pytest.raises(ValueError, match="can be signed with"):
        trusting(algorithms=frozenset({"rsa-sha1"}))


def test_elliptic_curves_are_taken_and_each_kind_of_key_for_its_algorithms(idp):
    key = IdpKey.elliptic()
    signed = signed_by_signxml(idp, key, "ecdsa-sha256")
    assert not isinstance(proved(signed, idp, certificates=[key.x509]), str)
    assert "signature is not" in proved(signed, idp)
    only_rsa = trusting(algorithms=frozenset({"rsa-sha256"}))
    assert "algorithm" in proved(signed, idp, only_rsa, certificates=[key.x509])


def test_in_a_rotation_either_certificate_will_do(idp, forger):
    both = [forger.x509, idp.key.x509]
    assert not isinstance(proved(idp.assertion(), idp, certificates=both), str)


# --- what the issuer signed, and yet proves nothing here

SIGNED_AND_REFUSED = {
    "another audience": ("urn:jitgate</saml:Aud", "urn:other</saml:Aud", "another audience"),
    "a longer audience": ("urn:jitgate</saml:Aud", "urn:jitgate2</saml:Aud", "another audience"),
    "an audience in other letters": (
        "urn:jitgate</saml:Aud",
        "URN:jitgate</saml:Aud",
        "another audience",
    ),
    "an audience with white space": (
        "urn:jitgate</saml:Aud",
        " urn:jitgate</saml:Aud",
        "Audience names nobody",
    ),
    "others as well": (
        "</saml:Audience>",
        "</saml:Audience><saml:Audience>urn:x</saml:Audience>",
        "others as well",
    ),
    "two restrictions": (
        "<saml:AudienceRestriction>.*</saml:AudienceRestriction>",
        "\\g<0>\\g<0>",
        "does not say once",
    ),
    "no audience": (
        "<saml:AudienceRestriction>.*</saml:AudienceRestriction>",
        "",
        "does not say once",
    ),
    "another recipient": ("jitgate.internal/token", "jitgate.internal/tokens", "another recipient"),
    "no recipient": (' Recipient="[^"]*"', "", "another recipient"),
    "an answer to a request": (
        "<saml:SubjectConfirmationData",
        '\\g<0> InResponseTo="_1"',
        "InResponseTo",
    ),
    "a confirmation for an address": (
        "<saml:SubjectConfirmationData",
        '\\g<0> Address="10.0.0.1"',
        "what is not checked",
    ),
    "a confirmation with a begin": (
        "<saml:SubjectConfirmationData",
        '\\g<0> NotBefore="2020-01-01T00:00:00Z"',
        "what is not checked",
    ),
    "a confirmation without end": ('(Data )NotOnOrAfter="[^"]*"', "\\1", "no end"),
    "holder of key": ("cm:bearer", "cm:holder-of-key", "bearer"),
    "two confirmations": (
        "<saml:SubjectConfirmation .*</saml:SubjectConfirmation>",
        "\\g<0>\\g<0>",
        "one confirmation",
    ),
    "another issuer": ("idp.example/saml<", "evil.example/saml<", "another issuer"),
    "an issuer of another format": ("<saml:Issuer>", '<saml:Issuer Format="x">', "another issuer"),
    "a condition nobody knows": (
        "</saml:Conditions>",
        "<saml:Condition/></saml:Conditions>",
        "not understood",
    ),
    "a proxy restriction": (
        "</saml:Conditions>",
        "<saml:ProxyRestriction Count='0'/></saml:Conditions>",
        "not understood",
    ),
    "advice": ("</saml:Conditions>", "</saml:Conditions><saml:Advice/>", "in their order"),
    "a decision": (
        "</saml:Conditions>",
        "</saml:Conditions><saml:AuthzDecisionStatement/>",
        "in their order",
    ),
    "no subject": ("<saml:Subject>.*</saml:Subject>", "", "in their order"),
    "a subject at the end": (
        "(<saml:Subject>.*</saml:Subject>)(.*)(</saml:Assertion>)",
        "\\2\\1\\3",
        "in their order",
    ),
    "no conditions": ("<saml:Conditions.*</saml:Conditions>", "", "in their order"),
    "two sessions": (
        "<saml:AuthnStatement.*</saml:AuthnStatement>",
        "\\g<0>\\g<0>",
        "more than one session",
    ),
    "a session that has ended": (
        "<saml:AuthnStatement",
        '\\g<0> SessionNotOnOrAfter="2020-01-01T00:00:00Z"',
        "its session has expired",
    ),
    "a login to come": ('AuthnInstant="20', 'AuthnInstant="30', "AuthnInstant lies ahead"),
    "issued in time to come": ('IssueInstant="20', 'IssueInstant="30', "IssueInstant lies ahead"),
    "issued at no time": (
        'IssueInstant="[^"]*"',
        'IssueInstant="2026-01-01"',
        "IssueInstant is not a time",
    ),
    "issued nobody knows when": (' IssueInstant="[^"]*"', "", "no assertion of SAML 2.0"),
    "not yet": ('NotBefore="20', 'NotBefore="30', "not valid yet"),
    "expired": ('(NotBefore="[^"]*" )NotOnOrAfter="20', '\\1NotOnOrAfter="19', "it has expired"),
    "expired for us": (
        '(Data )NotOnOrAfter="20',
        '\\1NotOnOrAfter="19',
        "confirmation has expired",
    ),
    "a time of a zone": ('(NotBefore="[^"]*)Z"', '\\1+01:00"', "NotBefore is not a time"),
    "a time that is none": ('NotBefore="[^"]*"', 'NotBefore="now"', "NotBefore is not a time"),
    "a day that is none": ('NotBefore="[^"]*"', 'NotBefore="2026-02-30T00:00:00Z"', "not a time"),
    "version 1.1": ('Version="2.0"', 'Version="1.1"', "no assertion of SAML 2.0"),
    "no name": (">bot-7<", "><", "NameID names nobody"),
    "a name with white space": (">bot-7<", "> bot-7<", "NameID names nobody"),
    "a name with a line's end": (">bot-7<", ">bot&#10;7<", "NameID names nobody"),
    "a name with more in it": (">bot-7<", ">bot<saml:b/>-7<", "more than text"),
    "a transient name": ("unspecified", "transient", "format that is not taken"),
    "a name for others": ("<saml:NameID", '<saml:NameID SPNameQualifier="x"', "somebody else's"),
    "a name of others": ("<saml:NameID", '<saml:NameID NameQualifier="x"', "somebody else's"),
    "a name of ours": ("<saml:NameID", '<saml:NameID SPProvidedID="x"', "SPProvidedID"),
    "text between": ("</saml:Subject>", "</saml:Subject>x", "text between"),
    "a group with white space": (">it-agents<", "> it-agents<", "AttributeValue names nobody"),
    "a group with more in it": (">it-agents<", "><saml:b/>it-agents<", "more than text"),
    "an attribute with other things": (
        "</saml:AttributeValue>",
        "</saml:AttributeValue><saml:b/>",
        "something else than values",
    ),
    "an attribute that is encrypted": (
        "</saml:AttributeStatement>",
        "<saml:EncryptedAttribute/></saml:AttributeStatement>",
        "encrypted",
    ),
    "groups that lie elsewhere": (
        'Name="groups"',
        f'Name="{ELSEWHERE}"',
        "too many",
    ),
    "a foreign namespace": (
        "<saml:Conditions",
        '<saml:Conditions xmlns:saml="urn:x"',
        "in their order",
    ),
}


@pytest.mark.parametrize(("old", "new", "why"), SIGNED_AND_REFUSED.values(), ids=SIGNED_AND_REFUSED)
def test_what_the_issuer_signed_otherwise_is_refused_for_its_reason(idp, old, new, why):
    assert why in reason(rewritten(idp, (old, new)), idp)


def test_a_transient_name_is_refused(idp):
    assert "transient" in reason(idp.assertion(name_format=TRANSIENT), idp)


def test_a_name_that_is_no_address_is_not_taken_for_one(idp):
    assert "no e-mail" in reason(idp.assertion("ann", name_format=EMAIL), idp)


def test_a_certificate_that_is_out_of_time_is_believed_in_nothing(idp):
    old = IdpKey.new(days=0)
    signed = idp.sign(unsigned(idp.assertion()), key=old)
    assert "signature" in proved(signed, idp, certificates=[old.x509])


def test_no_reason_shows_what_the_document_holds(idp):
    for old, new in ((">bot-7<", "> hunter2<"), ("urn:jitgate</", "hunter2</")):
        assert "hunter2" not in reason(rewritten(idp, (old, new)), idp)
    for document in ("<hunter2>hunter2</hunter2>", "hunter2", "<a>&hunter2;</a>"):
        assert "hunter2" not in reason(document, idp)
