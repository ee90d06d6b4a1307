"""What is in the workspace at the start, as emulate takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from support.slack.payloads import Facts
from support.slack.people import NAMES, SPECIAL
from support.slack.web import SCOPES

FACTS = Facts(
    team_id="T000000001",
    domain="acme",
    app_id="A0JITGATE0",
    bot_id="B0JITGATE0",
    bot_user_id="U0JITGATE0",
    verification_token="verification-token-of-the-app",
)
BOT_TOKEN = "xoxb" + "-the-app-in-its-workspace"
APP_TOKEN = "xapp" + "-the-app-itself"
ADMIN_TOKEN = "xoxp" + "-who-looks-on"
SIGNING_SECRET = "signing-secret-of-the-app"
SEEN = ("channels:history", "groups:history", "im:history", "mpim:history")
ADMIN_SCOPES = (*SCOPES, *SEEN, "channels:manage", "groups:write", "reactions:write")


def token_of(name: str) -> str:
    return f"{ADMIN_TOKEN}-{name}"


def seeded(scopes: Sequence[str]) -> Mapping[str, object]:
    people = [
        {"name": name, "real_name": name.title(), "email": f"{name}@acme.example"}
        for name in (*NAMES, *SPECIAL)
    ]
    app = {
        "app_id": FACTS.app_id,
        "client_id": "1.1",
        "client_secret": "none",
        "name": "jitgate",
        "redirect_uris": ["https://jitgate.example"],
        "bot_id": FACTS.bot_id,
        "bot_user_id": FACTS.bot_user_id,
        "bot_name": "jitgate",
    }
    of_the_app = {"app_id": FACTS.app_id, "bot_id": FACTS.bot_id, "bot_user_id": FACTS.bot_user_id}
    tokens = [
        {
            "token": BOT_TOKEN,
            "type": "bot",
            "user_id": FACTS.bot_user_id,
            "scopes": [*scopes],
            **of_the_app,
        },
        {"token": ADMIN_TOKEN, "type": "user", "user": "admin", "scopes": [*ADMIN_SCOPES]},
        *(
            {"token": token_of(name), "type": "user", "user": name, "scopes": [*ADMIN_SCOPES]}
            for name in (*NAMES, *SPECIAL)
        ),
    ]
    slack = {
        "team": {"name": "Acme", "domain": FACTS.domain},
        "users": people,
        "oauth_apps": [app],
        "tokens": tokens,
        "strict_scopes": True,
    }
    return {"service": "slack", "seed": {"slack": slack}}
