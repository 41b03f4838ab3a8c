"""Did it work? Win rate, satisfaction, accuracy, agreement, held-out reward, and the cost."""

from hrlaif.evaluation.accuracy import Accuracy, accuracy
from hrlaif.evaluation.agreement import Agreement, agreement
from hrlaif.evaluation.basic_labels import Basic
from hrlaif.evaluation.compose import compare, evaluate
from hrlaif.evaluation.cost import Cost, cost
from hrlaif.evaluation.detector import labelled, measured, sources
from hrlaif.evaluation.held_out import HeldOutReward, held_out_reward
from hrlaif.evaluation.rater import Satisfaction
from hrlaif.evaluation.satisfaction import Satisfied, satisfaction
from hrlaif.evaluation.several import by_model, compare_several, meetings
from hrlaif.evaluation.toxicity import Toxic, Toxicity, toxicity
from hrlaif.evaluation.two_runs import TwoRuns, refuse_others, two_runs
from hrlaif.evaluation.win_rate import WinRate, pair, summarise, win_rate

__all__ = [
    "Accuracy",
    "Agreement",
    "Basic",
    "Cost",
    "HeldOutReward",
    "Satisfaction",
    "Satisfied",
    "Toxic",
    "Toxicity",
    "TwoRuns",
    "WinRate",
    "accuracy",
    "agreement",
    "by_model",
    "compare",
    "compare_several",
    "cost",
    "evaluate",
    "held_out_reward",
    "labelled",
    "measured",
    "meetings",
    "pair",
    "refuse_others",
    "satisfaction",
    "sources",
    "summarise",
    "toxicity",
    "two_runs",
    "win_rate",
]
