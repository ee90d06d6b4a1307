"""Two looks at a text come to one: the same text, and nothing else of it is touched."""

from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.parts import Part, composed, replaced


def parts_of(draw, text):
    bounds = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pairs = zip(bounds[::2], bounds[1::2], strict=False)
    return [Part(*pair, draw(st.sampled_from(["", "*", "12345"])), "") for pair in pairs]


@given(st.data(), st.text(st.sampled_from("abcdef"), max_size=20))
def test_what_is_replaced_twice_is_replaced_at_once(data, text):
    first = parts_of(data.draw, text)
    after = replaced(text, first)
    second = [each for each in parts_of(data.draw, after) if each.begin < each.end]
    both = composed(text, first, second)
    assert replaced(text, both) == replaced(after, second)
    assert all(one.end <= other.begin for one, other in zip(both, both[1:], strict=False))
    touched = sum(each.end - each.begin for each in both)
    assert touched <= sum(each.end - each.begin for each in (*first, *second))


def test_a_digest_that_was_put_there_is_nothing_that_has_to_be_hidden():
    text = '{"secret":"","a":"12"}'
    first, second = (
        [Part(10, 12, '"hmac:00"', "")],
        [Part(16, 18, "**", ""), Part(25, 27, "**", "")],
    )
    assert replaced(text, composed(text, first, second)) == '{"secret":"hmac:00","a":"**"}'


def test_what_is_left_of_a_value_is_hidden_for_what_stands_around_it():
    text = '{"key":"AAAA-secret"}'
    first, second = [Part(7, 20, '"****-secret"', "")], [Part(13, 19, "******", "")]
    assert replaced(text, composed(text, first, second)) == '{"key":"****-******"}'
