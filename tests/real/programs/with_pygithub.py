"""PyGithub, at the address that it has built in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from github import Auth, Github
from told import DOWN, HTTPBIN, KEY, UNKNOWN, tell_all

hub = Github(auth=Auth.Token("the-agents-own"))


def read():
    user = hub.get_user("octocat")
    return [user.name, user.email]


def write():
    issue = hub.get_repo("octocat/hello").create_issue(title="über", body="x" * 100_000)
    return [issue.title, len(hub.get_repo("octocat/hello").get_issue(issue.number).body)]


def denied():
    hub.get_repo("octocat/hello").delete()


def several():
    with ThreadPoolExecutor(4) as pool:
        pooled = list(pool.map(lambda _: hub.get_user("octocat").login, range(4)))
    return [hub.get_user("octocat").login for _ in range(4)] + pooled


def paged():
    quick = Github(auth=Auth.Token("the-agents-own"), seconds_between_writes=0, per_page=2)
    repository = quick.get_repo("octocat/hello")
    for number in range(3):
        repository.create_issue(title=f"page {number}")
    return sum("page" in each.title for each in repository.get_issues())


def slow_down():
    return at(f"{HTTPBIN}/slow-down/429/{KEY}").get_user("octocat").raw_data["asked"]


def unavailable():
    return at(f"{HTTPBIN}/slow-down/503/{KEY}-503").get_user("octocat").raw_data["asked"]


def down():
    at(DOWN).get_user("octocat")


def withheld():
    at(f"{HTTPBIN}/in-html").get_user().create_repo("hello")


def unknown():
    at(UNKNOWN, retry=0).get_user("octocat")


def at(url, **more):
    return Github(base_url=url, auth=Auth.Token("the-agents-own"), **more)


tell_all(
    read=read,
    write=write,
    denied=denied,
    several=several,
    paged=paged,
    slow_down=slow_down,
    unavailable=unavailable,
    down=down,
    withheld=withheld,
    unknown=unknown,
)
