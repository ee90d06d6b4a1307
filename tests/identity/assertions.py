"""What tests of SAML have in common: how far the provider is trusted, and what a document proves."""

from __future__ import annotations

import re
import time

from support.saml import AUDIENCE, ISSUER, RECIPIENT, unsigned

from jitgate.identity.saml import SamlTrust, read_document, verified


def trusting(**options):
    return SamlTrust(
        **{"issuer": ISSUER, "audience": AUDIENCE, "recipient": RECIPIENT, "groups": "groups"}
        | options
    )


def proved(document, idp, trust=None, now=None, certificates=None):
    data = document if isinstance(document, bytes) else document.encode()
    now = time.time() if now is None else now
    read = read_document(data)
    if isinstance(read, str):
        return read
    return verified(read, trust or trusting(), certificates or [idp.key.x509], now)


def subject(document, idp, **options):
    found = proved(document, idp, trusting(**options))
    assert not isinstance(found, str), found
    return found.subject


def reason(document, idp, **options):
    found = proved(document, idp, trusting(**options))
    assert isinstance(found, str), found
    return found


def rewritten(idp, *changes, **options):
    """An assertion that says something else, signed with the provider's key."""
    text = unsigned(idp.assertion(**options))
    for old, new in changes:
        text, count = re.subn(old, new, text)
        assert count, old
    return idp.sign(text)
