"""An issuer of agents' tokens for tests: a key pair, its JWKS file, and tokens signed with it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ISSUER = "https://idp.example"


class Tokens:
    """Signs tokens with ES256; ``jwks`` is the file a gateway is given."""

    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(ECAlgorithm.to_jwk(self._key.public_key()))
        self.jwks = folder / "jwks.json"
        self.jwks.write_text(json.dumps({"keys": [public | {"kid": "k1", "use": "sig"}]}))

    def token(self, subject: str = "bot-7", life: int = 600, **claims: object) -> str:
        """A token for a member of it-agents; ``claims`` change or add claims."""
        now = int(time.time())
        content = {
            "iss": ISSUER,
            "aud": "jitgate",
            "sub": subject,
            "groups": ["it-agents"],
            "iat": now,
            "exp": now + life,
        }
        return jwt.encode(content | claims, self._key, "ES256", headers={"kid": "k1"})
