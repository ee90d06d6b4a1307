"""An AuthZEN client that nobody here wrote asks ahead; the call then goes out with its token.

There is no client yet that speaks the Access Request and Approval Profile: the evaluations are
decern's, the request between them is sent by requests.
"""

from __future__ import annotations

import json

ASKING = """
import json, os
import requests
from decern import Client
us = "https://jitgate.internal"
client = Client(us, timeout=30)
me = {"type": "agent", "id": "it-agent"}
def user(key, tail=""):
    return {"type": "okta", "id": f"/api/v1/users/{key}{tail}"}
"""
FIRST = f"""{ASKING}
seen = client.evaluate(me, "getUser", user("00u1"))
other = client.evaluate({{"type": "agent", "id": "stranger"}}, "getUser", user("00u1"))
ended = user("00u1", "/lifecycle/deactivate")
denied = client.evaluate(me, "deactivateUser", ended)
denial = {{"evaluation_id": denied.context["evaluation_id"],
          "expires_at": denied.context["access_request"]["expires_at"]}}
body = {{"subject": me, "action": {{"name": "deactivateUser"}}, "resource": ended, "denial": denial}}
asked = requests.post(denied.context["access_request"]["endpoint"], json=body, timeout=30,
                      verify=os.environ["SSL_CERT_FILE"])
print(json.dumps({{"seen": seen.allowed, "other": other.allowed, "denied": denied.allowed,
                  "status": asked.status_code, "task": asked.json()["task"]}}))
"""
SECOND = """
task = requests.get({url!r}, timeout=30, verify=os.environ["SSL_CERT_FILE"]).json()
approval = task["result"]["approval"]
again = client.evaluate(me, "deactivateUser", user("00u1", "/lifecycle/deactivate"),
                        {{"approval": approval}})
forged = client.evaluate(me, "deactivateUser", user("00u2", "/lifecycle/deactivate"),
                         {{"approval": approval}})
print(json.dumps({{"again": again.allowed, "forged": forged.allowed, "status": task["task"]["status"],
                  "reason": forged.context["reason"]}}))
"""


def test_an_evaluation_a_request_an_approval_and_an_evaluation_again(estate):
    first = estate.python(FIRST)
    assert (first["seen"], first["other"], first["denied"]) == (True, False, False)
    task = first["task"]
    assert (first["status"], task["status"]) == (202, "pending")
    estate.approver.approve(task["id"])
    second = estate.python(ASKING + SECOND.format(url=task["status_endpoint"]))
    assert second == {
        "again": True,
        "forged": False,
        "status": "approved",
        "reason": "out_of_scope",
    }, json.dumps(second)
