"""Promotion of models in MLflow's registry: a run's model gets an alias, with the reason on record, and loses it again.

    registry = Registry("http://mlflow:5000")
    wanted = promotion.asked("heart", when=when.read("metrics.f1_score >= 0.9"), better_than="champion")
    registry.promote(history.find("deep"), wanted).because

docs/promotion.md tells how two promotions at once come to one champion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runyard.api import promoting, promotion
from runyard.api.model import format_time
from runyard.api.promote import CHAMPION
from runyard.api.promoting import Asked, Promoted, RolledBack
from runyard.api.promotion import Promotion, WrongPromotion
from runyard.api.registered_models import Candidate
from runyard.api.when import Facts
from runyard.registry import Models, done, tags_of, user

if TYPE_CHECKING:
    from datetime import datetime

    from runyard.api.alias_history import Entry
    from runyard.history import LoggedRun

__all__ = ["Promoted", "Registry", "RolledBack"]


class Registry:
    """The registered models of an MLflow server or database. Every failure to reach it is a `TrackingUnavailable`."""

    def __init__(self, uri: str) -> None:
        """Open it."""
        self._uri = uri
        self._models = Models(uri)

    def promote(
        self,
        run: LoggedRun,
        wanted: Promotion,
        *,
        because: str = "",
        by: str | None = None,
        force: bool = False,
        dry_run: bool = False,
    ) -> Promoted:
        """Register a run's model and give it the alias, if what is asked for holds.

        Args:
            run: whose model.
            wanted: what is asked, made by `runyard.api.promotion.asked`.
            because: said by a person, recorded before what was compared.
            by: who asks; None: the user of this process.
            force: promote it whatever was compared.
            dry_run: say what would be done, and do nothing.

        Raises:
            WrongPromotion: the run logged no model.
            TrackingUnavailable: MLflow does not answer, or something else moves the alias all the time.

        """
        if run.model is None:
            raise WrongPromotion(f"run {run.id} logged no model: there is nothing to promote")
        candidate = Candidate(Facts(run.id, run.status, run.metrics, run.params, run.tags), run.model)
        return done(promoting.promote(self._models, candidate, wanted, Asked(because, user(by), force, dry_run)))

    def selected(self, model: str, version: int, began: datetime) -> None:
        """Write down with a version that was promoted just now when somebody had begun to choose among runs.

        Args:
            model: the registered model.
            version: its number.
            began: when that was.

        Raises:
            TrackingUnavailable: MLflow does not answer.

        """
        promoted = tags_of(self._uri, model, version).get(promotion.PROMOTED_AT_TAG)
        if promoted:
            tags = {promotion.SELECTED_DURING_TAG: f"{format_time(began)}/{promoted}"}
            done(self._models.tag_version(model, version, tags))

    def rollback(self, model: str, alias: str = CHAMPION, *, because: str = "", by: str | None = None) -> RolledBack:
        """Give an alias back to the version that had it before the one that has it now.

        Args:
            model: the registered model.
            alias: which of its aliases.
            because: said by a person.
            by: who asks; None: the user of this process.

        Raises:
            WrongPromotion: there is no such model, or nothing before, or that was deleted.
            TrackingUnavailable: MLflow does not answer.

        """
        return done(promoting.rollback(self._models, model, alias, because=because, by=user(by)))

    def history(self, model: str) -> list[Entry]:
        """Return every move of the model's aliases that is on record, the oldest first.

        Raises:
            WrongPromotion: there is no such model.
            TrackingUnavailable: MLflow does not answer.

        """
        promotion.asked(model)
        state = done(self._models.read(model))
        if not state.is_there:
            raise WrongPromotion(f'there is no registered model "{model}"')
        return list(state.history)

    def aliases(self, model: str) -> dict[str, int]:
        """Return the versions that have an alias now, by alias; none where there is no such model."""
        return dict(done(self._models.read(model)).aliases)
