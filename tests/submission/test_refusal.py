"""Which error says why no fallback filled a slot."""

from bot.errors import ArtifactInvalid, GateFailed, NoChampion, RetryLater
from bot.findings import Finding
from bot.submission._refusal import passed_over, refusal

WITHOUT = NoChampion("recipe 'own' has no champion yet; run `bot retrain` first")
DAMAGED = ArtifactInvalid("own.json is damaged; point it at an artifact with `bot promote ID`")


def test_without_any_other_model_the_champion_is_missing():
    """Nothing else was tried, so that a champion has to be made is the reason."""
    assert refusal([], [], [WITHOUT]) is WITHOUT


def test_a_model_that_was_tried_is_the_reason_and_keeps_its_gates_and_remedy():
    """The missing champion is the second part of the cause; the way to fix it stays the last part."""
    gate = Finding(gate="exposure", ok=False, value=0.5, limit="at most 0.2", message="exposure")
    gates = refusal([], [GateFailed("exposure: 0.5", gates=[gate])], [WITHOUT])
    plain = refusal([], [ArtifactInvalid("it does not score; go back")], [WITHOUT])

    assert (str(gates), gates.gates) == ("exposure: 0.5 (recipe 'own' has no champion yet)", (gate,))
    assert str(plain) == "it does not score (recipe 'own' has no champion yet); go back"


def test_a_damaged_pointer_comes_before_what_the_fallbacks_said():
    """It hides a champion, and only a person can set it right; what may score later comes before it."""
    assert refusal([], [ArtifactInvalid("no")], [DAMAGED]) is DAMAGED
    died = RetryLater("passed over")
    assert refusal([died], [ArtifactInvalid("no")], [DAMAGED]) is died


def test_a_training_that_runs_is_a_reason_without_advice():
    """Where a fallback fills the slot, nobody waits; that a retrain is due stays with its reason."""
    assert passed_over(RetryLater("the first training runs; nothing is to be done")) == "the first training runs"
    assert passed_over(WITHOUT) == "recipe 'own' has no champion yet; run `bot retrain` first"
