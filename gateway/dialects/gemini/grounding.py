"""Billed grounding: web searches (per query, or per grounded prompt on older generations), maps, own retrieval.

To follow another source: one line in ``_CHUNKS``.
"""

import re
from collections import Counter
from typing import Final

from gateway.wire.jsondoc import Json, arr, obj

_GENERATION: Final = re.compile(r"gemini-(?:[a-z]+-)*(\d+)")
_LAST_PER_PROMPT: Final = 2  # up to this generation a grounded prompt is billed, later each query
ENTERPRISE: Final = "grounding_enterprise_web_search"
_QUERIES_MAX: Final = 1024
_CHUNKS: Final = {"maps": "grounding_google_maps", "retrievedContext": "grounding_retrieval"}


class Grounding:
    """Collects the grounding of one answer, streamed or not.

    ``enterprise``: its only search is that of the web index for enterprises, which answers do not tell from the other.
    """

    def __init__(self, *, enterprise: bool = False) -> None:
        self._is_enterprise = enterprise
        self._queries: dict[object, Counter[str]] = {}
        self._web = False
        self._units: dict[str, int] = {}

    def take(self, candidate: object, metadata: dict[str, Json]) -> None:
        """Grounding metadata of a candidate; a stream may repeat or extend what it said before."""
        said = Counter(
            query
            for query in arr(metadata, "webSearchQueries")[:_QUERIES_MAX]
            if isinstance(query, str) and query
        )
        if said:
            self._queries[candidate] = self._queries.get(candidate, Counter()) | said
        for chunk in arr(metadata, "groundingChunks"):
            self._web = self._web or bool(obj(chunk, "web"))
            for member, unit in _CHUNKS.items():
                source = obj(chunk, member)
                # Searching files that the provider keeps for the client is no billed retrieval.
                if source and "fileSearchStore" not in source:
                    self._units[unit] = 1

    def units(self, model: str | None) -> dict[str, int]:
        """The billed units, by the generation of the model that answered."""
        queries = sum(each.total() for each in self._queries.values())
        searched = search_units(model, queries, grounded=self._web)
        if self._is_enterprise and searched:
            searched = {ENTERPRISE: sum(searched.values())}
        return {**searched, **self._units}


def search_units(model: str | None, queries: int, *, grounded: bool = False) -> dict[str, int]:
    """Units of web searches: one per prompt up to generation 2, later one per query."""
    if not queries and not grounded:
        return {}
    found = _GENERATION.search(model or "")
    if found is not None and int(found[1]) <= _LAST_PER_PROMPT:
        return {"grounding_google_search_prompts": 1}
    return {"grounding_google_search": max(queries, 1)}
