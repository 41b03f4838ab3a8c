"""What does the page say of one judge? From its part of study.json to values for the template."""

from __future__ import annotations

from hrlaif.pages.charts import Charts
from hrlaif.records import Row
from hrlaif.study import shown_agreement, shown_faults, shown_labels


def judge(name: str, found: Row, charts: Charts) -> Row:
    """All parts of one judge, as plain values for the template."""
    one: Row = found["judges"][name]
    worst = [shown_labels.worst(row) for row in one["disagreements"]]
    gave_reasons = {reason["way"] for row in worst for reason in row["rationales"]}
    return {
        "name": name,
        "anchor": f"j{list(found['judges']).index(name)}",
        "chosen": one["chosen"],
        "variants": shown_agreement.variants(one, found, charts),
        "breakdown": shown_agreement.breakdown(one, charts),
        "raters": shown_agreement.raters(one),
        "ranking": shown_agreement.ranking(one, charts),
        "bias": shown_faults.bias(one, charts),
        "calibration": shown_faults.calibration(one, charts),
        "injection": shown_faults.injection(one, charts),
        "checking": shown_labels.checking(one, charts),
        "learning": shown_labels.learning(one, charts),
        "worst": worst,
        "borrowed": sorted(gave_reasons - {one["chosen"]}),
    }
