"""PathMasker: values for where they stand."""

import pytest
from zope.interface.verify import verifyObject

from jitgate.core.json_masking import JsonMasker
from jitgate.core.paths import parsed
from jitgate.interfaces import IStatedMasker
from jitgate.maskers.paths import PathMasker
from jitgate.values import How


def test_it_provides_its_port():
    masker = PathMasker("mine", ["$.a", "$..b"], How.DROP)
    assert verifyObject(IStatedMasker, masker)
    assert masker.paths == (parsed("$.a"), parsed("$..b"))
    assert (masker.how, masker.looks_at_values, masker.names, masker.signs) == (
        How.DROP,
        False,
        (),
        (),
    )
    assert masker.spans("a") == ()


def test_what_a_path_leads_to_is_hidden_and_nothing_else():
    engine = JsonMasker([PathMasker("mine", ["$.a.b", "$..c"])])
    body = b'{"a":{"b":"hidden","x":"seen"},"b":"seen","d":[{"c":1,"e":2}]}'
    assert engine.feed(body) + engine.finish() == (
        b'{"a":{"b":"****************","x":"seen"},"b":"seen","d":[{"c":0,"e":2}]}'
    )
    assert engine.counts == {"mine": 2}


def test_what_is_no_path_is_refused():
    with pytest.raises(ValueError, match="does not begin with"):
        PathMasker("mine", ["$.a", "b"])


def test_a_version_tells_the_paths_and_how_they_are_hidden():
    versions = {
        PathMasker("mine", *each).version
        for each in ((["$.a"],), (["$.b"],), (["$.a"], How.DROP), (["$.a", "$.b"],))
    }
    assert len(versions) == 4
    assert PathMasker("other", ["$.a"]).version in versions
