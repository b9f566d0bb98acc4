"""A memory that is open while another process makes all vectors anew with another model."""

from collections.abc import Callable

import pytest

from keepwell import Memory, Message
from keepwell.testing import HashEmbedder


@pytest.mark.parametrize("budget", [2**28, 0], ids=["snapshot", "candidates"])
def test_vectors_of_another_model_are_left_out_and_said(
    open_memory: Callable[..., Memory], tenant: str, budget: int
) -> None:
    """Recall goes on by keyword, and names why vectors had no part in it, at once and later."""
    old = open_memory(tenant=tenant)
    old._engine.cache.budget = budget
    ada = old.scope(user_id="ada")
    ada.thread("t").append(Message.user("I can't eat peanuts."))
    assert ada.recall("peanuts").skipped == {}
    open_memory(tenant=tenant, embedder=None).reembed(HashEmbedder(model="renamed"))
    for _ in range(2):
        found = ada.recall("peanuts")
        assert [item.text for item in found] == ["I can't eat peanuts."]
        assert "vector" in found.skipped
        assert "vector" not in found[0].evidence


def test_a_lambda_has_no_name_to_keep_vectors_under(open_memory: Callable[..., Memory]) -> None:
    """Two lambdas would share a space; they are refused with a word on what to do."""
    with pytest.raises(ValueError, match="give a function with a name"):
        open_memory(embedder=lambda texts: [[1.0, 0.0] for _ in texts])
