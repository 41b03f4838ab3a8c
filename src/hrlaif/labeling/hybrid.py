"""HRLAIF: which procedure labels which comparison? Verified where answers can be, basic elsewhere.

Li et al., arXiv 2403.08309: "hybrid" is a choice of AI labelling procedure by category of prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, final

from hrlaif.categories import categorize
from hrlaif.checks import ChoiceLetter, Number
from hrlaif.labeling.human import Human
from hrlaif.labeling.pairing import Found
from hrlaif.labeling.pairwise import Pairwise
from hrlaif.labeling.panel import Panel
from hrlaif.labeling.verified import Verified
from hrlaif.protocols import Labeler, LanguageModel
from hrlaif.records import Abstention, Comparison, Preference, Prompt, Response, Verdict
from hrlaif.settings import Settings, one_of

Route = Annotated[Labeler, one_of(Pairwise, Panel, Verified, Human)]


@final
class Hybrid(Settings):
    """A labeler for each category, and one for all others."""

    by_category: Mapping[str, Route] = {
        "math": Verified(check=Number()),
        "multiple_choice": Verified(check=ChoiceLetter()),
    }
    """Category of the prompt -> labeler."""
    otherwise: Route = Pairwise()
    """Labels the other categories."""
    categorize: bool = True
    """Ask the judge for the category of prompts without one; otherwise those go to `otherwise`."""

    @property
    def rationale(self) -> bool:
        """Whether any of them has reasons written first."""
        routes = (*self.by_category.values(), self.otherwise)
        return any(getattr(route, "rationale", False) for route in routes)

    def label(
        self, comparisons: Sequence[Comparison], judge: LanguageModel
    ) -> list[Preference | Abstention]:
        """One answer a comparison; each labeler is asked once, about all of its comparisons."""
        known = self._categories([c.prompt for c in comparisons], judge)
        comparisons = [
            c.model_copy(update={"prompt": prompt})
            for c, prompt in zip(comparisons, known, strict=True)
        ]
        answers: dict[int, Preference | Abstention] = {}
        routes = [self._route(c.prompt) for c in comparisons]
        for labeler in dict.fromkeys(map(id, routes)):
            chosen = [n for n, route in enumerate(routes) if id(route) == labeler]
            told = routes[chosen[0]].label([comparisons[n] for n in chosen], judge)
            answers |= dict(zip(chosen, told, strict=True))
        return [answers[n] for n in range(len(comparisons))]

    def verdicts(self, responses: Sequence[Response], judge: LanguageModel) -> list[Verdict]:
        """What the checks find in the responses of verified categories, and in no others."""
        known = self._categories([r.prompt for r in responses], judge)
        groups: dict[int, tuple[Verified, list[Response]]] = {}
        for response, prompt in zip(responses, known, strict=True):
            route = self._route(prompt)
            if isinstance(route, Verified):
                groups.setdefault(id(route), (route, []))[1].append(response)
        return [v for route, group in groups.values() for v in route.verdicts(group, judge)]

    def asks(self, prompt: Prompt, found: Found) -> bool:
        """Whether a judge is asked about a pair of which a check found this."""
        route = self._route(prompt)
        return isinstance(route, Verified) and route.asks(prompt, found)

    def _route(self, prompt: Prompt) -> Labeler:
        return self.by_category.get(prompt.category or "", self.otherwise)

    def _categories(self, prompts: Sequence[Prompt], judge: LanguageModel) -> Sequence[Prompt]:
        return categorize(prompts, judge) if self.categorize else prompts
