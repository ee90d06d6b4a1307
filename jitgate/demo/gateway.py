"""The gateway of the demo: a configuration written around the sandbox, and served from it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from jitgate.app import make_service
from jitgate.config import load
from jitgate.demo.sandbox import Sandbox
from jitgate.service import GatewayService
from jitgate.shipped import shipped

APPROVER = "you@demo.example"
"""The person that the uid which started the demo stands for."""

_SETTINGS = """\
# Written by jitgate demo at each start.
state: ../state
listen: {{proxy: "127.0.0.1:{proxy}", admin: "127.0.0.1:{admin}"}}
identity:
  issuers:
    - {{name: sandbox, type: oidc, issuer: "{issuer}", audience: jitgate, trust: "{ca}"}}
targets:
  - name: okta
    hosts: ["{host}"]
    catalog: okta
    dial: "127.0.0.1:{port}"
    trust: "{ca}"
    credential:
      type: okta
      org: "https://{host}"
      client_id: "{client_id}"
      key_id: "{key_id}"
      private_key: "file:{client_key}"
# Whoever started the demo may approve: only a demo may do so, where the agent has the same uid.
control: {{approvers: {{{uid}: "{approver}"}}}}
approvals: {{groups: {{it-leads: ["{approver}"]}}}}
policy: [./policy/*.yaml]
masking: [./masking/*.yaml]
recording: {{directory: ../recordings}}
plugins:
  - file: ./plugins/no_admin_grants.py
  - file: ./plugins/employee_numbers.py
"""


def configured(folder: Path, sandbox: Sandbox, proxy: int, admin: int) -> Path:
    """Write the demo's configuration below ``folder``; 0 lets the system choose a port."""
    etc = folder / "etc"
    for name in ("policy", "masking"):
        shutil.copytree(shipped("etc") / name, etc / name, dirs_exist_ok=True)
    shutil.copytree(
        shipped("plugins"),
        etc / "plugins",
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    file = etc / "jitgate.yaml"
    file.write_text(
        _SETTINGS.format(
            proxy=proxy,
            admin=admin,
            issuer=sandbox.issuer.url,
            ca=sandbox.ca,
            host=sandbox.org.host,
            port=sandbox.org.port,
            client_id=sandbox.client_id,
            key_id=sandbox.key_id,
            client_key=sandbox.client_key,
            uid=os.getuid(),
            approver=APPROVER,
        )
    )
    return file


async def started(file: Path, reactor: Any) -> GatewayService:
    """The gateway, serving. Raises what kept it from starting."""
    service = make_service(load(file), reactor, hangup=False)
    service.startService()
    await service.started
    return service
