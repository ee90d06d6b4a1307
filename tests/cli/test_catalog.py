"""`jitgate catalog`: an API is brought in as a diff, and what is known of one is shown."""

import argparse
import csv
import io
import json

import pytest
from catalogs.described import api
from support.gateway import settings, target

from jitgate.cli import catalog

PATHS = {
    "/things": {"get": {"operationId": "listThings"}, "post": {"operationId": "makeThing"}},
    "/things/{id}": {"delete": {"operationId": "dropThing"}},
    "/things/{id}/key": {"put": {"operationId": "setKey"}},
    "/things/{id}.json": {"get": {"operationId": "getJson"}},
}
HEAD = "method,path,operation,risk,scopes,parameters,body,secrets"


class Desk:
    """A configuration with three targets, and a description."""

    def __init__(self, folder, capsys):
        self.folder, self.capsys = folder, capsys
        self.file = folder / "things.csv"
        (folder / "jwks.json").write_text('{"keys": []}')
        far = [
            target(9, folder, name=name, hosts=[f"{name}.example"], catalog=known)
            for name, known in (("things", "things.csv"), ("okta", "okta"), ("bare", "none"))
        ]
        (folder / "jitgate.yaml").write_text(
            json.dumps(settings(folder, folder / "jwks.json", far))
        )
        self.describe(PATHS)

    def describe(self, paths, **more):
        (self.folder / "api.json").write_bytes(api(paths, **more))

    def run(self, *arguments, config=True):
        """Exit status, standard output, standard error."""
        parser = argparse.ArgumentParser()
        catalog.register(parser.add_subparsers())
        told = ["--config", str(self.folder / "jitgate.yaml")] if config else []
        options = parser.parse_args(["catalog", arguments[0], *told, *map(str, arguments[1:])])
        status = options.handler(options)
        said = self.capsys.readouterr()
        return status, said.out, said.err

    def bring(self, *arguments, name="things", **how):
        return self.run("import", self.folder / "api.json", "--target", name, *arguments, **how)

    def rows(self):
        with self.file.open(newline="") as file:
            return {row["operation"]: row for row in csv.DictReader(file)}


@pytest.fixture
def desk(tmp_path, capsys):
    return Desk(tmp_path, capsys)


def test_an_api_comes_as_a_diff_and_nothing_is_written(desk):
    status, out, err = desk.bring()
    assert status == 1
    assert not desk.file.exists()
    lines = out.splitlines()
    assert lines[:2] == [f"--- {desk.file}", f"+++ {desk.file} (proposed)"]
    assert "+DELETE,/things/{id},dropThing,destructive,,,," in lines
    assert "4 operations: 1 read, 1 write, 1 privileged, 1 destructive." in err
    assert "4 new, 0 removed, 0 changed" in err
    assert "GET /things/{id}.json" in err
    assert "a part of its segment" in err


def test_it_is_written_and_then_nothing_is_to_be_changed(desk):
    assert desk.bring("--write")[0] == 0
    assert desk.file.read_text().startswith(HEAD)
    assert [each.name for each in desk.folder.glob(".*")] == []
    status, out, err = desk.bring()
    assert (status, out) == (0, "")
    assert "0 new, 0 removed, 0 changed" in err


def test_an_update_keeps_what_was_reviewed_and_shows_only_what_is_new(desk):
    desk.bring("--write")
    reviewed = desk.file.read_text().replace("setKey,privileged", "setKey,destructive")
    desk.file.write_text(reviewed)
    desk.file.chmod(0o640)
    desk.describe(PATHS | {"/more": {"get": {}}, "/things": {"get": {"operationId": "allThings"}}})
    status, out, err = desk.bring()
    assert status == 1
    changed = sorted(line for line in out.splitlines()[2:] if line[0] in "+-")
    assert changed == [
        "+GET,/more,get_more,read,,,,",
        "+GET,/things,allThings,read,,,,",
        "-GET,/things,listThings,read,,,,",
        "-POST,/things,makeThing,write,,,,",
    ]
    assert "1 new, 1 removed, 1 changed" in err
    assert "removed: POST /things (makeThing)" in err
    assert "PUT /things/{id}/key (setKey): destructive, not privileged" in err
    assert desk.file.read_text() == reviewed
    assert desk.bring("--write")[0] == 0
    assert desk.rows()["setKey"]["risk"] == "destructive"
    assert desk.file.stat().st_mode & 0o777 == 0o640


def test_a_row_without_a_risk_gets_the_proposed_one(desk):
    desk.bring("--write")
    desk.file.write_text(desk.file.read_text().replace("setKey,privileged", "setKey,"))
    status, _, err = desk.bring("--write")
    assert status == 0
    assert "had no risk: PUT /things/{id}/key (setKey): privileged" in err
    assert desk.rows()["setKey"]["risk"] == "privileged"


def test_all_of_it_is_there_for_a_program(desk):
    status, out, err = desk.bring("--json")
    told = json.loads(out)
    assert (status, err) == (1, "")
    assert told["operations"] == 4
    assert told["risks"] == {"read": 1, "write": 1, "privileged": 1, "destructive": 1}
    assert told["skipped"][0]["where"] == "GET /things/{id}.json"
    assert len(told["added"]) == 4


def test_a_target_without_a_catalog_of_its_own_needs_a_file(desk):
    for name in ("bare", "okta"):
        status, out, _ = desk.bring(name=name)
        assert status == 1
        assert f"+++ {name}.csv (proposed)" in out
        status, _, err = desk.bring("--write", name=name)
        assert status == 2
        assert "--out" in err
    assert desk.bring("--write", "--out", desk.file, name="bare")[0] == 0
    assert len(desk.rows()) == 4


def test_no_configuration_is_read_where_only_a_file_is_named(desk, monkeypatch):
    monkeypatch.chdir(desk.folder)
    monkeypatch.delenv("JITGATE_CONFIG", raising=False)
    status, _, _ = desk.bring("--out", desk.file, "--write", name="any", config=False)
    assert status == 0
    assert desk.bring(name="any", config=False)[0] == 2


def test_the_targets_hosts_are_its_own_and_more_may_be_named(desk):
    elsewhere = {"post": {"servers": [{"url": "https://up.example"}]}}
    own = {"put": {"servers": [{"url": "https://things.example/v1"}]}}
    desk.describe({"/a": elsewhere | own}, servers=[{"url": "https://public.example"}])
    assert "+PUT,/v1/a,put_a,write,,,,\n" in desk.bring()[1]
    assert "+POST" not in desk.bring()[1]
    assert "+POST,/a,post_a,write,,,,\n" in desk.bring("--host", "UP.example")[1]
    assert "+PUT,/v1/a" in desk.bring("--prefix", "/v9")[1]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda desk: desk.file.write_text(f"{HEAD}\nGET,/a,x,wild,,,,\n"),
            "things.csv:2: the risk",
        ),
        (lambda desk: (desk.folder / "api.json").unlink(), "cannot be read"),
        (lambda desk: desk.describe({}), "no operation"),
        (lambda desk: desk.describe(PATHS, version="2.0"), "OpenAPI 3.0 or 3.1"),
        (lambda desk: (desk.folder / "jitgate.yaml").write_text("a: ["), "jitgate.yaml"),
    ],
)
def test_what_keeps_it_from_an_answer_is_told(desk, change, why):
    change(desk)
    status, out, err = desk.bring("--write")
    assert (status, out) == (2, "")
    assert why in err


def test_an_unknown_target_is_told_with_the_nearest(desk):
    status, _, err = desk.bring(name="thing")
    assert status == 2
    assert "'thing'" in err
    assert "things" in err.replace("'thing'", "")


def test_what_a_description_says_to_the_terminal_is_shown_and_not_obeyed(desk):
    hostile = "\x1b]0;owned\x07\u202e"
    desk.describe(
        {
            f"/a{hostile}": {"get": {}},
            "/fine": {"get": {"operationId": f"x{hostile}"}},
            "/b": {"get": {"responses": {"200": {"$ref": f"{hostile}.json"}}}},
        }
    )
    _, out, err = desk.bring()
    for char in hostile:
        assert char not in (out + err) or char in "]0;owned"
    assert r"/a\x1b]0;owned\x07\u202e" in err
    assert "x_]0;owned__" in out


# --- show


def test_operations_are_shown_as_a_table(desk):
    desk.bring("--write")
    status, out, _ = desk.run("show", desk.file)
    assert status == 0
    assert [line.split()[:4] for line in out.splitlines()] == [
        ["METHOD", "PATH", "OPERATION", "RISK"],
        ["GET", "/things", "listThings", "read"],
        ["POST", "/things", "makeThing", "write"],
        ["DELETE", "/things/{id}", "dropThing", "destructive"],
        ["PUT", "/things/{id}/key", "setKey", "privileged"],
    ]


def test_a_pattern_is_one_of_names_or_of_paths(desk):
    desk.bring("--write")
    for pattern, count in (("*Thing", 2), ("/things/*", 2), ("setKey", 1), ("set", 0)):
        status, out, _ = desk.run("show", "--target", "things", pattern, "--json")
        assert len(json.loads(out)) == count
        assert status == (0 if count else 1)
    assert desk.run("show", "nothing.at.all")[2] == "There is no such operation.\n"


def test_every_target_is_shown_for_a_program(desk):
    desk.bring("--write")
    _, out, _ = desk.run("show", "--json", "*activateUser")
    assert {row["target"] for row in json.loads(out)} == {"okta"}
    _, out, _ = desk.run("show", "--json", "--target", "things", "dropThing")
    assert json.loads(out) == [
        {
            "target": "things",
            "method": "DELETE",
            "path": "/things/{id}",
            "operation": "dropThing",
            "risk": "destructive",
            "scopes": [],
            "parameters": [],
            "body": None,
            "secrets": [],
        }
    ]


def test_what_cannot_be_shown_is_told(desk):
    assert desk.run("show", desk.file)[0] == 2
    desk.bring("--write")
    assert desk.run("show", desk.file, "a", "b")[0] == 2
    assert desk.run("show", desk.file, "--target", "things")[0] == 2
    assert desk.run("show", "--target", "nobody")[0] == 2


def test_whatever_the_terminals_encoding_it_is_shown(desk, monkeypatch):
    desk.describe({"/a": {"get": {"operationId": "größe"}}})
    desk.bring("--write")
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", narrow)
    assert desk.run("show", desk.file)[0] == 0
    narrow.flush()
    assert rb"gr\xf6\xdfe" in narrow.buffer.getvalue()
