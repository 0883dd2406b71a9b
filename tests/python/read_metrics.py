"""Can the parser of Prometheus's own client read /metrics?

    python read_metrics.py HOST:PORT

Guarantees that every family parsed has a help text, a type, and labels from a bounded list when it
prints `families: N`; what does not hold raises.
"""

import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

LABELS = {"listener", "reason", "kind", "outcome", "code", "verdict", "state", "severity", "le", "version"}
UNITS = ("bytes", "seconds")


def main(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=100) as answer:
        text = answer.read().decode("utf-8")
    families = list(text_string_to_metric_families(text))
    assert families, "the page has no metrics"
    for family in families:
        assert family.documentation, f"{family.name} has no help"
        assert family.type != "unknown", f"{family.name} has no type"
        assert family.name.startswith(("gridd_", "process_")), family.name
        assert family.unit in ("", *UNITS), f"{family.name} is in {family.unit}"
        for sample in family.samples:
            assert set(sample.labels) <= LABELS, sample
    print(f"families: {len(families)}")


if __name__ == "__main__":
    main(sys.argv[1])
