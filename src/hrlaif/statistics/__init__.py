"""How sure is a number? Every figure carries its interval and how many values went in."""

from hrlaif.statistics.agreement import (
    cohen_kappa,
    fleiss_kappa,
    kendall_w,
    krippendorff_alpha,
)
from hrlaif.statistics.figures import (
    NOTHING,
    RESAMPLES,
    Figure,
    Measured,
    difference,
    entropy_floor,
    mean,
    wilson,
)
from hrlaif.statistics.length import LengthControlled, lc_minimal, lc_ratio

__all__ = [
    "NOTHING",
    "RESAMPLES",
    "Figure",
    "LengthControlled",
    "Measured",
    "cohen_kappa",
    "difference",
    "entropy_floor",
    "fleiss_kappa",
    "kendall_w",
    "krippendorff_alpha",
    "lc_minimal",
    "lc_ratio",
    "mean",
    "wilson",
]
