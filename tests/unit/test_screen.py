"""Secrets and recalled blocks never reach a model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.errors import UsageError
from keepwell.formation.screen import screen_of

# Put together here, so that nobody's scanner takes the tests for a leak.
SECRETS = [
    "AKIA" + "ABCDEFGHIJKLMNOP",
    "sk-" + "abcdefghijklmnop1234",
    "ghp_" + "a" * 36,
    "xoxb-" + "1234567890-abc",
    "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "my password is hunter2",
    "Passphrase: correct horse battery staple",
    "the API key = 12345",
    "card 4111 1111 1111 1111",
    "5500-0000-0000-0004",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\ncut off",
    "postgresql://ada:hunter2@host/db",
]
HARMLESS = [
    "I pass the word on.",
    "Order 1234567890123 has arrived.",
    "My favourite key is C minor.",
    "Call +44 20 7946 0958 on 2024-05-07.",
    "The skeleton-key museum is closed.",
]


@pytest.mark.parametrize("text", SECRETS)
def test_what_looks_like_a_secret_is_seen(text: str) -> None:
    """Keys, tokens, passwords, cards and private keys are found wherever they stand."""
    screen = screen_of()
    assert screen.holds_secret(text)
    assert screen.holds_secret(f"By the way, {text} and so on")


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_words_pass(text: str) -> None:
    """What only resembles a secret is shown as it is."""
    assert screen_of().shown(text) == text


def test_what_a_model_sees_holds_no_secret() -> None:
    """The secret is cut out, and what is around it stays."""
    shown = screen_of().shown("I live in Leeds. My password is hunter2. I like tea.")
    assert shown == "I live in Leeds. My [left out]. I like tea."


def test_a_recalled_block_is_no_evidence_even_where_it_is_not_closed() -> None:
    """The block that a context puts into a prompt is left out, to its end or to the end of the text."""
    screen = screen_of()
    assert screen.shown("<memory>\n- Ada: tea\n</memory>\nWhat now?") == "[left out]\nWhat now?"
    assert screen.shown("Hello <MEMORY>\n- Ada: tea") == "Hello [left out]"
    assert not screen.holds_secret("<memory>\n- Ada: tea\n</memory>")


def test_patterns_of_ones_own_screen_too() -> None:
    """A store's own patterns are screened like ours; one that is no pattern is refused at once."""
    assert screen_of((r"\bproject-\w+",)).shown("I work on project-falcon") == "I work on [left out]"
    with pytest.raises(UsageError, match="no regular expression"):
        screen_of(("(",))


@given(st.text(), st.sampled_from(SECRETS), st.text())
def test_nothing_around_a_secret_brings_it_back(before: str, secret: str, after: str) -> None:
    """Whatever stands around it, the secret as a whole is never shown."""
    assert secret not in screen_of().shown(f"{before} {secret} {after}")
