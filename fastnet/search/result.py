"""SearchResult: what a search found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastnet.network import Network
from fastnet.search.records import Record, Request, Standing, standings


class SearchResult:
    """The settings of a search, ranked, with the networks of the best ones."""

    def __init__(
        self, records: Sequence[Record], networks: Mapping[tuple[int, int], Network], request: Request
    ) -> None:
        self.records, self.networks, self.request = records, networks, request

    @property
    def standings(self) -> list[Standing]:
        """The settings, the best first."""
        return standings(self.records, self.request.lower_is_better)

    @property
    def best(self) -> Standing:
        """The best setting."""
        return self.standings[0]

    @property
    def table(self) -> list[dict[str, Any]]:
        """A row for each setting."""
        return [vars(one) for one in self.standings]
