"""What an issuer's entry in the configuration says to whoever verifies its tokens."""

from __future__ import annotations

from jitgate.config.identity_schema import OidcIssuer, SamlIssuer
from jitgate.identity.claims import Trust
from jitgate.identity.saml import SamlTrust
from jitgate.identity.vendors import VENDORS


def trust_of(issuer: OidcIssuer) -> Trust:
    """How far the tokens of an issuer are believed."""
    groups = issuer.groups_claim
    return Trust(
        issuer=issuer.issuer,
        audience=issuer.audience,
        vendor=VENDORS[issuer.profile],
        also_for=frozenset(issuer.also_for),
        groups=(groups,) if isinstance(groups, str) else groups,
        required={
            name: value if isinstance(value, tuple) else (value,)
            for name, value in issuer.required.items()
        },
        owner_claim=issuer.owner_claim,
        owners=issuer.owners,
    )


def saml_trust_of(issuer: SamlIssuer) -> SamlTrust:
    """How far the assertions of an identity provider are believed."""
    return SamlTrust(
        issuer=issuer.issuer,
        audience=issuer.audience,
        recipient=issuer.recipient,
        algorithms=frozenset(issuer.algorithms),
        name_ids=frozenset(issuer.name_ids),
        groups=issuer.groups_attribute,
        email=issuer.email_attribute,
        required={
            name: value if isinstance(value, tuple) else (value,)
            for name, value in issuer.required.items()
        },
        owners=issuer.owners,
    )
