"""How sure is a number? Every figure carries its interval and how many values went in."""

from hrlaif.statistics.agreement import (
    cohen_kappa,
    fleiss_kappa,
    kendall_w,
    krippendorff_alpha,
)
from hrlaif.statistics.alignment import right, right_for_one_rater
from hrlaif.statistics.bradley_terry import Games, Ranking, bradley_terry, difficulties
from hrlaif.statistics.calibration import (
    Bin,
    Calibration,
    brier,
    ece,
    isotonic,
    read_calibration,
    reliability,
    temperature,
)
from hrlaif.statistics.correction import corrected_share, prediction_powered, rogan_gladen
from hrlaif.statistics.figures import (
    NOTHING,
    RESAMPLES,
    Figure,
    Floats,
    Measured,
    bootstrapped,
    difference,
    entropy_floor,
    mean,
    wilson,
)
from hrlaif.statistics.length import (
    Contest,
    Gamed,
    LengthControlled,
    lc_alpaca_v1,
    lc_difficulty,
    lc_minimal,
    lc_ratio,
)
from hrlaif.statistics.noise import Noise, noise
from hrlaif.statistics.paired import Paired, against_base, holm, mcnemar, paired, sign_test

__all__ = [
    "NOTHING",
    "RESAMPLES",
    "Bin",
    "Calibration",
    "Contest",
    "Figure",
    "Floats",
    "Gamed",
    "Games",
    "LengthControlled",
    "Measured",
    "Noise",
    "Paired",
    "Ranking",
    "against_base",
    "bootstrapped",
    "bradley_terry",
    "brier",
    "cohen_kappa",
    "corrected_share",
    "difference",
    "difficulties",
    "ece",
    "entropy_floor",
    "fleiss_kappa",
    "holm",
    "isotonic",
    "kendall_w",
    "krippendorff_alpha",
    "lc_alpaca_v1",
    "lc_difficulty",
    "lc_minimal",
    "lc_ratio",
    "mcnemar",
    "mean",
    "noise",
    "paired",
    "prediction_powered",
    "read_calibration",
    "reliability",
    "right",
    "right_for_one_rater",
    "rogan_gladen",
    "sign_test",
    "temperature",
    "wilson",
]
