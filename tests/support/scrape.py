"""Reads a part's metrics, as Prometheus does."""

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


class Scrape:
    """One scrape of one part."""

    def __init__(self, url: str) -> None:
        """``url`` is that of ``/metrics``."""
        answer = httpx.get(url, trust_env=False)
        assert answer.status_code == 200, answer.text
        families = list(text_string_to_metric_families(answer.text))
        self.types = {
            f"{family.name}_total" if family.type == "counter" else family.name: family.type
            for family in families
        }
        """By name, whether it is a counter, a histogram or a gauge."""
        self.samples: list[Sample] = [each for family in families for each in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of ``name`` that have these labels; 0 if there are none."""
        return sum(
            each.value
            for each in self.samples
            if each.name == name and labels.items() <= each.labels.items()
        )
