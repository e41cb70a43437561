"""The error of a slot that no fallback could fill."""

from collections.abc import Collection, Iterable

from bot.errors import ArtifactInvalid, BotError, RetryLater


def passed_over(problem: BotError) -> str:
    """Return why a recipe without a champion is passed over; what passes by itself comes without its advice to wait."""
    return str(problem).partition("; ")[0] if isinstance(problem, RetryLater) else str(problem)


def refusal(died: Iterable[BotError], tried: Iterable[BotError], problems: Collection[BotError]) -> BotError:
    """
    Return the error that says why a slot has no submission.

    That a recipe has no champion yet is the reason only where no other model was tried. Else it is the second part of the
    message of the best model that was.

    Args:
        died: Why models are passed over, best first. They may score in the next attempt, so they come first.
        tried: Why models that were tried were refused, best first.
        problems: Why recipes that come before all these models have no champion.
    """
    # A damaged pointer hides a champion, so it matters more than what became of the models below.
    damaged = [one for one in problems if isinstance(one, ArtifactInvalid)]
    without = [one for one in problems if not isinstance(one, ArtifactInvalid)]
    found = [*died, *damaged, *tried]
    if not found:
        return without[0]
    error = found[0]
    if without:
        head, mark, rest = str(error).partition("; ")
        second = ", ".join(str(one).partition("; ")[0] for one in without)
        error.args = (f"{head} ({second}){mark}{rest}",)  # the class and the gates of the error stay
    return error
