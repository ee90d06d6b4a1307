"""The identity provider whose assertions the tests of SAML take apart: one process for all."""

from __future__ import annotations

import pytest
from support.saml import IdpKey, SamlIdp


@pytest.fixture(scope="session")
def idp(tmp_path_factory):
    with SamlIdp.start(tmp_path_factory.mktemp("idp"), IdpKey.new()) as idp:
        yield idp


@pytest.fixture(scope="session")
def forger():
    """A key that nobody has pinned."""
    return IdpKey.new()
