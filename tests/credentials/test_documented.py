"""What docs/credentials.md says to type makes what the gateway and the org take."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
from support.jwts import SigningKey
from support.self_signed import pem

from jitgate.credentials.signing import Signer, read_key

PAGE = (Path(__file__).parents[2] / "docs" / "credentials.md").read_text()


@pytest.mark.parametrize("key", [SigningKey.es256("reader-2026"), SigningKey.rs256("writer-2026")])
def test_the_jwk_that_is_made_checks_what_the_gateway_signs(tmp_path, key):
    (program,) = re.findall(r"python -c '(.*?)' reader\.pem", PAGE, re.DOTALL)
    file = tmp_path / "key.pem"
    file.write_bytes(pem(key.private))
    command = [sys.executable, "-c", program, str(file), key.key_id]
    made = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert made["kid"] == key.key_id
    assert "d" not in made
    token = Signer(read_key(file.read_bytes()), {"kid": key.key_id}).signed({"sub": "0oa1"})
    assert jwt.decode(token, jwt.PyJWK(made).key, algorithms=[made["alg"]]) == {"sub": "0oa1"}
