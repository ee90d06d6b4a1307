import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.access import operation

from jitgate.core.wording import action_words


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("deactivateUser", "Deactivate user"),
        ("repos/delete-file", "Repos delete file"),
        ("listOAuth2Clients", "List o auth 2 clients"),
        ("chat.postMessage", "Chat post message"),
        ("POST", "POST request"),
        ("", "POST request"),
        ("löschen", "POST request"),
    ],
)
def test_what_an_operation_does_is_told_in_words(action, told):
    assert action_words(operation(action=action)) == told


@given(st.text())
def test_words_are_of_letters_and_digits_alone(action):
    assert re.fullmatch("[A-Za-z0-9 ]+", action_words(operation(action=action)))
