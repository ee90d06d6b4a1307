"""curl, as it comes with the system: the variables, and what it shows."""

from __future__ import annotations

import subprocess

import orjson
import pytest

pytestmark = pytest.mark.needs_debian("curl")


HTTPBIN = "https://httpbin.example"

MEBIBYTES = b"0123456789abcdef" * (3 * 64 * 1024)
"""Three of them: from one on, curl asks with Expect before it sends a body."""


def curl(estate, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = dict(estate.environment())
    return run({**environment, "CURL_CA_BUNDLE": environment["SSL_CERT_FILE"]}, *arguments)


def run(environment, *arguments: str, data: bytes | None = None, **more: str):
    """``more`` are variables that take the place of those that an agent is given."""
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "20", *arguments],
        env={**environment, "PATH": "/usr/bin", **more},
        input=data,
        capture_output=True,
        timeout=30,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def test_curl_reads_what_is_permitted(estate):
    done = curl(estate, "https://acme.okta.example/api/v1/users")
    assert done.returncode == 0, done.stderr
    logins = [user["profile"]["login"] for user in orjson.loads(done.stdout)]
    assert "alice@acme.example" in logins


def test_curl_is_told_why_not(estate):
    done = curl(
        estate,
        "--write-out",
        "%{http_code}",
        "--header",
        "Content-Type: application/json",
        "--data",
        '{"type":"SUPER_ADMIN"}',
        "https://acme.okta.example/api/v1/users/00u1/roles",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("403")
    assert "no-admin-grants" in done.stdout
    assert estate.org.calls() == []


def test_curl_gets_no_tunnel_to_another_host(estate):
    done = curl(estate, "https://other.example/")
    assert done.returncode == 56
    assert "403" in done.stderr


# --- against httpbin


@pytest.fixture
def call(world):
    def called(*arguments: str, data: bytes | None = None, token: str | None = None) -> str:
        done = run(world.environment(token), *arguments, data=data)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return called


@pytest.fixture
def upload(tmp_path):
    file = tmp_path / "upload"
    file.write_bytes(MEBIBYTES)
    return str(file)


def echoed(answer: str) -> bytes:
    return orjson.loads(answer)["data"].encode()


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--http1.0",),
        ("--proxy1.0",),
        ("--http2",),
        ("--http2-prior-knowledge",),
        ("--no-alpn",),
        ("--compressed",),
        ("--tlsv1.2", "--tls-max", "1.2"),
        ("--tlsv1.3",),
        ("--tcp-nodelay", "--no-keepalive"),
    ],
    ids=" ".join,
)
def test_curl_reads_what_is_masked_whatever_it_speaks(world, call, options):
    if options == ("--proxy1.0",):
        options = ("--proxy1.0", world.environment()["HTTPS_PROXY"])
    answer = call(*options, "--write-out", "%{http_version}", f"{HTTPBIN}/json")
    assert answer.endswith("1.1")
    assert orjson.loads(answer[:-3])["slideshow"]["author"] == "*" * 16


@pytest.mark.parametrize(
    ("coding", "says"), [("gzip", "gzipped"), ("deflate", "deflated"), ("brotli", "brotli")]
)
def test_curl_gets_what_a_target_codes_as_it_was(call, coding, says):
    answer = call("--include", f"{HTTPBIN}/{coding}")
    head, _, body = answer.rpartition("\r\n\r\n")
    assert "content-encoding" not in head.lower()
    assert orjson.loads(body)[says] is True


def test_curl_asks_before_it_sends_three_mebibytes(call, upload):
    answer = call("--include", "--upload-file", upload, f"{HTTPBIN}/anything")
    assert "HTTP/1.1 100 Continue" in answer
    assert echoed(answer.rpartition("\r\n\r\n")[2]) == MEBIBYTES


def test_curl_sends_what_it_does_not_know_the_length_of(call):
    for method in ("PUT", "POST"):
        url = f"{HTTPBIN}/anything"
        answer = call("--upload-file", "-", "--request", method, url, data=MEBIBYTES)
        assert echoed(answer) == MEBIBYTES


def test_curl_sends_a_form_with_a_file(call, upload):
    answer = orjson.loads(call("--form", f"file=@{upload}", f"{HTTPBIN}/anything"))
    assert answer["files"]["file"].encode() == MEBIBYTES


def test_curl_does_not_send_what_is_denied(call, upload):
    answer = call(
        *("--upload-file", upload, "--request", "DELETE", "--write-out", "%{size_upload}"),
        f"{HTTPBIN}/anything",
    )
    assert "Agents delete nothing" in answer
    assert answer.endswith("}0")


def test_curl_sees_events_as_they_come(world, call):
    command = ["curl", "--silent", "--no-buffer", "--max-time", "20", f"{HTTPBIN}/events/curl"]
    environment = world.environment()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as events:
        assert events.stdout.readline() == "data: first\n"
        call(f"{HTTPBIN}/seen/curl")
        assert events.stdout.read() == "\ndata: second\n\n"


def test_curl_gets_answers_that_have_no_body(call):
    assert call("--head", f"{HTTPBIN}/json").count("HTTP/1.1 200") == 2
    assert "Content-Length: 1000\n" in call("--head", f"{HTTPBIN}/bytes/1000").replace("\r", "")
    assert call("--write-out", "%{http_code}", f"{HTTPBIN}/status/204") == "204"
    assert "Allow: " in call("--include", "--request", "OPTIONS", f"{HTTPBIN}/get")


def test_curl_asks_for_the_options_of_the_server_as_a_whole(world, call):
    """httpbin itself knows none; what counts is that it was asked."""
    answer = call("--include", "--request", "OPTIONS", "--request-target", "*", HTTPBIN)
    assert "Server: gunicorn" in answer
    assert world.gateway.entries("decision")[-1]["operation"]["resource"] == {"path": "*"}


def test_a_redirect_is_left_to_curl(call):
    shown = ("--output", "/dev/null", "--write-out", "%{http_code} %{redirect_url}")
    assert call(*shown, f"{HTTPBIN}/redirect-to?url=/get") == f"302 {HTTPBIN}/get"
    followed = ("--location", "--output", "/dev/null", "--write-out", "%{http_code}")
    assert call(*followed, f"{HTTPBIN}/redirect-to?url=/get") == "200"


def test_curl_keeps_its_tunnel_after_a_refusal(call):
    """One connection for four calls, of which the second is denied."""
    shown = ("--output", "/dev/null", "--write-out", "%{http_code}:%{num_connects} ")
    urls = [f"{HTTPBIN}/json", "--next", *shown, "--request", "DELETE", f"{HTTPBIN}/anything"]
    urls += ["--next", *shown, f"{HTTPBIN}/status/404", "--next", *shown, f"{HTTPBIN}/get"]
    assert call(*shown, *urls) == "200:1 403:0 404:0 200:0 "


def test_curl_calls_many_at_once(call):
    urls = [f"{HTTPBIN}/get?n={number}" for number in range(12)]
    answers = call("--parallel", "--parallel-immediate", "--write-out", "%{http_code} ", *urls)
    assert answers.count("200 ") == 12


def test_curl_waits_when_it_is_told_to(call):
    for status in ("429", "503"):
        answer = call("--retry", "1", f"{HTTPBIN}/slow-down/{status}/curl-{status}")
        assert '"asked": 2' in answer


def test_without_a_token_curl_shows_a_407_of_the_proxy(world):
    done = run(world.environment(token=""), f"{HTTPBIN}/json")
    assert done.returncode == 56
    assert "CONNECT tunnel failed, response 407" in done.stderr


def test_a_token_out_of_time_is_a_refusal_that_says_so(world, call):
    answer = call("--include", f"{HTTPBIN}/json", token=world.tokens.token(life=-120))
    assert "HTTP/1.1 401" in answer
    assert "has expired" in answer


def test_curl_is_told_that_the_target_is_down(call):
    answer = call("--write-out", "%{http_code}", "https://down.example/")
    assert "connection refused" in answer
    assert answer.endswith("502")
