"""What becomes of `spec.promote` when a training has succeeded: the same words from the operator and `runyard run`."""

from runyard.api import promoting, promotion
from runyard.api.facts import Missing, PromotionOutcome
from runyard.api.outcome import Reason
from runyard.api.promote import Promote
from runyard.api.promoting import Asked, Promoted
from runyard.api.promotion import WrongPromotion
from runyard.api.records import Run
from runyard.api.registered_models import Candidate, Models
from runyard.api.when import Facts, WrongCondition


async def promote(
    models: Models, asked: Promote, run: Run | None, lacking: Missing | None, by: str
) -> PromotionOutcome:
    """Promote the run of a training that succeeded, if what it asks for holds.

    Args:
        models: where models are registered.
        asked: what is asked for.
        run: that stands for the training, as it is now; None where it was deleted.
        lacking: what the training should have logged, and did not.
        by: who asks, for the record.

    """
    if run is None:
        return _not(Reason.RUN_DELETED, "the training's run was deleted in MLflow")
    if lacking:
        return _not(lacking.reason, lacking.message)
    if run.model is None:
        return _not(Reason.MODEL_MISSING, f"run {run.id} logged no model: there is nothing to promote")
    candidate = Candidate(Facts(run.id, run.status, run.metrics, run.params, run.tags), run.model)
    try:
        wanted = promotion.of_training(asked)
    except (WrongPromotion, WrongCondition) as error:  # of a definition that was changed under it
        return _not(Reason.INVALID_SPEC, str(error))
    found = await promoting.promote(models, candidate, wanted, Asked(because=asked.because or "", by=by))
    return _worded(found, wanted.model, wanted.alias)


def of_nothing() -> PromotionOutcome:
    """Return what is said where no run of a training is known."""
    return _not(Reason.MODEL_MISSING, "no run of the training is known: there is nothing to promote")


def _worded(found: Promoted, model: str, alias: str) -> PromotionOutcome:
    if found.promoted:
        instead = f", instead of version {found.instead_of}" if found.instead_of else ""
        said = f"version {found.version} of {model} is the {alias}{instead}: {found.because}"
        return PromotionOutcome(is_promoted=True, reason=Reason.PROMOTED, message=said)
    stays = f"version {found.instead_of} of {model} stays the {alias}: " if found.instead_of else ""
    reason = Reason.OVERTAKEN if found.was_overtaken else Reason.CONDITION_NOT_MET
    return _not(reason, found.because if found.was_overtaken else f"{stays}{found.because}")


def _not(reason: Reason, message: str) -> PromotionOutcome:
    return PromotionOutcome(is_promoted=False, reason=reason, message=message)
