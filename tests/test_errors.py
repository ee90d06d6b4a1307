"""What the log is told of a fault."""

from jitgate.errors import StoreDown, traced


def _raised():
    try:
        {}["secret"]
    except KeyError as error:
        fault = StoreDown("It cannot be read.")
        fault.__cause__ = error
        return fault


def test_kinds_and_places_are_told_and_no_message_of_others():
    told = traced(_raised())
    assert "StoreDown (It cannot be read.)" in told
    assert ", because of KeyError at " in told
    assert "secret" not in told


def test_a_fault_that_is_raised_again_and_so_causes_itself_is_told_once():
    first, second = KeyError("a"), StoreDown("b")
    first.__cause__, second.__cause__ = second, first
    assert traced(first).count("KeyError") == 1
