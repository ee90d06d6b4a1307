"""JSON of any size that is made to cost much, each kind by a number that its size grows with."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def _repeated(piece: bytes, begin: bytes = b"[", end: bytes = b"0]") -> Callable[[int], bytes]:
    return lambda size: begin + piece * (size // len(piece)) + end


SHAPES: Mapping[str, Callable[[int], bytes]] = {
    "a text of escapes": _repeated(b"\\n", b'["', b'"]'),
    "a text of escapes of six": _repeated(b"\\u0041", b'["', b'"]'),
    "a text of quotes": _repeated(b'\\"', b'["', b'"]'),
    "a text of backslashes": _repeated(b"\\\\", b'["', b'"]'),
    "a text of signs": _repeated(b"HuSh", b'["', b'"]'),
    "a text of signs and letters of two bytes": _repeated("HuShé".encode(), b'["', b'"]'),
    "a text of brackets": _repeated(b"[", b'["x', b'"]'),
    "a text that begins like JSON": _repeated(b'\\"x\\",', b'["[', b'"]'),
    "brackets that open": _repeated(b"[", b"", b""),
    "braces that open": _repeated(b'{"a":', b"", b""),
    "brackets that close": _repeated(b"]", b"[", b""),
    "empty containers": _repeated(b"[],{},"),
    "containers in containers": _repeated(b'[[[{"a":[{}]}]]],'),
    "short texts": _repeated(b'"x",'),
    "short texts with escapes": _repeated(b'"\\u0041",'),
    "texts behind which a space stands": _repeated(b'"x" ,"longer than that one" , '),
    "texts that may be JSON": _repeated(b'"[x","{x"," x",'),
    "texts that are JSON": _repeated(b'"{\\"secret\\":1}",'),
    "texts with signs": _repeated(b'"x HuSh y",'),
    "texts with signs and letters of two bytes": _repeated('"é HuSh é",'.encode()),
    "numbers with signs": _repeated(b"17771,"),
    "numbers": _repeated(b"1,"),
    "long numbers": _repeated(b"1" * 4000 + b","),
    "numbers that are long and hidden": _repeated(b'{"secret":%b},' % (b"1" * 4000)),
    "a number without end": _repeated(b"1", b"[", b""),
    "white space": _repeated(b" \n", b"[1", b",1]"),
    "white space before a colon": _repeated(b" ", b'{"secret"', b':"HuSh"}'),
    "hidden fields": _repeated(b'{"secret":"HuSh"},'),
    "hidden fields and letters of two bytes": _repeated('{"secret":"é"},'.encode()),
    "hidden fields of one object": _repeated(b'"secret":1,', b"{", b'"a":1}'),
    "hidden fields within each other": _repeated(b'{"secret":', b"", b""),
    "hidden names as texts": _repeated(b'"secret",'),
    "hidden names in one text": _repeated(b'\\"secret\\":', b'["', b'"]'),
    "names with escapes": _repeated(b'{"s\\u0065cret":1},'),
    "names with quotes": _repeated(b'{"\\"secret":1},'),
    "a name of letters": _repeated(b"a", b'{"', b'":1}'),
    "a name of escapes": _repeated(b"\\u0041", b'{"', b'":1}'),
    "many names": lambda size: b"{%b}" % b",".join(b'"n%d":1' % n for n in range(size // 12)),
    "many hidden names": lambda size: (
        b"{%b}" % b",".join(b'"n%dT":1' % n for n in range(size // 12))
    ),
    "one long element": _repeated(b'{"a":1},', b'[{"x":[', b"0]}]"),
    "elements of some kilobytes": _repeated(b'{"x":[%b0]},' % (b'{"a":1},' * 800)),
    "elements that are found": _repeated(b'{"a":1,"d":[0,"x"]},'),
}
