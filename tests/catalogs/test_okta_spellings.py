"""However a call to Okta is spelled, it is the operation that a server could take it for, or none.

A server may decode, merge slashes, resolve dots, drop what follows a semicolon: whatever it makes
of a spelling, jitgate must not have taken it for another operation.
"""

import posixpath
import re
from urllib.parse import unquote

from hypothesis import example, given
from hypothesis import strategies as st

from jitgate.catalogs.okta import load_okta, oauth_rows, okta_rows
from jitgate.core.operation import CanonicalTarget, canonical_target

CATALOG = load_okta("okta")
ROWS = (*okta_rows(), *oauth_rows())
IDS = st.sampled_from(
    ["00u1", "a@acme.com", "default", "me", "a b", "é", "a.b", "rules", "v1", "x+y"]
)
NOISE = ("/", "//", "/./", "/x/../", "/.", "/..", "%2F", "%2f", "%252F", "\\", "%5C", "/%2e/")
ENDS = (
    "",
    "",
    "",
    "/",
    "//",
    "/.",
    ";a=b",
    ";",
    "%00",
    "%20",
    ".",
    ".json",
    "?",
    "#",
    "%3B",
    "/..",
)


@st.composite
def spelled(draw):
    """A row, and some spelling of its path."""
    row = draw(st.sampled_from(ROWS))
    names = re.findall(r"\{(.*?)\}", row.template)
    values = {name: draw(IDS) for name in names}
    parts = [
        values[part[1:-1]] if part.startswith("{") else part for part in row.template.split("/")[1:]
    ]
    noisy = draw(st.integers(0, 3)) == 0
    text = ""
    for part in parts:
        slash = draw(st.sampled_from(NOISE)) if noisy else "/"
        text += slash + "".join(draw(_spelling(character)) for character in part)
    return row, text + (draw(st.sampled_from(ENDS)) if noisy else "")


def _spelling(character):
    """The character as it is, if it may stand so, or its escapes, now and then twice or in caps."""
    escapes = "".join(f"%{byte:02x}" for byte in character.encode())
    forms = [escapes, escapes.upper()]
    if character.isascii() and character not in " %":
        forms = [*[character] * 40, *forms, character.swapcase(), escapes.replace("%", "%25")]
    return st.sampled_from(forms)


def _found(method, text):
    target = canonical_target(text)
    if not isinstance(target, CanonicalTarget):
        return None
    return CATALOG.operation("acme.okta.com:443", method, target.path, "")


def _servers(text):
    """Paths that servers of different habits would look up."""
    path = text.partition("?")[0].partition("#")[0]
    once = unquote(path)
    yield once
    yield unquote(once)
    for each in (path, once, unquote(once)):
        merged = re.sub("/{2,}", "/", unquote(each).replace("\\", "/"))
        yield merged
        yield posixpath.normpath(merged)
        yield posixpath.normpath(re.sub(";[^/]*", "", merged))


@given(spelled())
@example((ROWS[0], "/.well-known//x/../app-authenticator-configuration"))
def test_a_spelling_is_the_operation_or_is_refused(call):
    row, text = call
    operation = _found(row.method, text)
    if operation is None:
        return
    # What was found is found by a server that decodes, whatever else that does.
    for path in _servers(text):
        again = "/" + "/".join(_quoted(part) for part in path.split("/")[1:])
        taken = _found(row.method, again)
        assert taken is not None, (text, path)
        assert (taken.action, taken.resource) == (operation.action, operation.resource)


def _quoted(part):
    return "".join(f"%{byte:02X}" for byte in part.encode())


@given(st.sampled_from(ROWS), st.data())
def test_escapes_of_what_needs_none_change_nothing(row, data):
    names = re.findall(r"\{(.*?)\}", row.template)
    values = {name: data.draw(IDS) for name in names}
    path = "/".join(
        _quoted(values[part[1:-1]])
        if part.startswith("{")
        else "".join(
            data.draw(st.sampled_from([each, f"%{ord(each):02x}", f"%{ord(each):02X}"]))
            for each in part
        )
        for part in row.template.split("/")
    )
    operation = _found(row.method, path)
    # A name that the template has a fixed segment for is that: the target takes it so as well.
    assert operation is not None
    assert operation.action == row.action or not set(values.values()).isdisjoint(
        {"default", "me", "rules", "v1"}
    )
