"""An agent's environment: everything that clients look at, nothing that leads elsewhere."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from jitgate.forwarding.environment import agent_environment, holding, stale, variables

PROXY = "http://run-1:secret@127.0.0.1:4000"
BUNDLE = Path("/run/jitgate-exec-x/ca.pem")


def test_every_variable_that_clients_look_at_is_set():
    assert variables(PROXY, BUNDLE) == {
        "HTTPS_PROXY": PROXY,
        "https_proxy": PROXY,
        "HTTP_PROXY": PROXY,
        "http_proxy": PROXY,
        "NO_PROXY": "localhost,127.0.0.1,::1",
        "no_proxy": "localhost,127.0.0.1,::1",
        "SSL_CERT_FILE": f"{BUNDLE}",
        "SSL_CERT_DIR": f"{BUNDLE.parent}",
        "REQUESTS_CA_BUNDLE": f"{BUNDLE}",
        "CURL_CA_BUNDLE": f"{BUNDLE}",
        "AWS_CA_BUNDLE": f"{BUNDLE}",
        "GIT_SSL_CAINFO": f"{BUNDLE}",
        "PIP_CERT": f"{BUNDLE}",
        "NODE_EXTRA_CA_CERTS": f"{BUNDLE}",
        "NODE_USE_ENV_PROXY": "1",
    }


def test_what_was_set_outside_and_leads_elsewhere_is_gone_and_the_rest_stays():
    outside = {
        "PATH": "/bin",
        "GOPROXY": "https://proxy.golang.example",
        "ALL_PROXY": "socks5://10.0.0.1",
        "all_proxy": "socks5://10.0.0.1",
        "FTP_PROXY": "http://10.0.0.1",
        "grpc_proxy": "http://10.0.0.1",
        "no_grpc_proxy": "*",
        "npm_config_https_proxy": "http://10.0.0.1",
        "npm_config_proxy": "http://10.0.0.1",
        "Https_Proxy": "http://10.0.0.1",
        "HTTPS_PROXY": "http://10.0.0.1",
        "NO_PROXY": "*",
        "NODE_TLS_REJECT_UNAUTHORIZED": "0",
        "GIT_SSL_NO_VERIFY": "1",
        "GIT_SSL_CAPATH": "/etc/ssl/certs",
        "SSL_CERT_FILE": "/etc/ssl/cert.pem",
        "SSL_CERT_DIR": "/etc/ssl/certs",
    }
    made = agent_environment(outside, PROXY, BUNDLE, "token")
    kept = {"PATH": "/bin", "GOPROXY": "https://proxy.golang.example"}
    assert made == kept | variables(PROXY, BUNDLE)
    assert "10.0.0.1" not in "".join(made.values())


def test_what_holds_the_token_is_gone():
    outside = {"JITGATE_TOKEN": "t0ken", "LINE": "curl -H 'Bearer t0ken'", "OTHER": "t0"}
    assert holding(outside, "t0ken") == ["JITGATE_TOKEN", "LINE"]
    made = agent_environment(outside, PROXY, BUNDLE, "t0ken")
    assert made == {"OTHER": "t0"} | variables(PROXY, BUNDLE)


NAMES = st.sampled_from(["A", "ALL_PROXY", "no_proxy", "SSL_CERT_FILE", "Rsync_Proxy", "PATH"])


@given(st.dictionaries(NAMES | st.text(min_size=1), st.text()), st.text(min_size=1))
def test_whatever_is_outside_the_token_is_not_inside_and_ours_stands(outside, token):
    ours = variables(PROXY, BUNDLE)
    made = agent_environment(outside, PROXY, BUNDLE, token)
    assert {name: made[name] for name in ours} == ours
    others = made.keys() - ours.keys()
    assert all(made[name] == outside[name] and token not in made[name] for name in others)
    assert not set(stale(outside)) & others
