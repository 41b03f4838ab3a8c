"""Do responses made to break a grader cost more than time, or more than a little of it?"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from hrlaif.checks import any_check
from hrlaif.records import Message, Prompt, Response
texts = [json.loads(line) for line in sys.stdin]
begun = time.process_time()
counts = {}
for check in ("number", "choice"):
    prompt = Prompt(id="q", messages=(Message(role="user", content="Q"),),
                    reference_answer="5" if check == "number" else "B",
                    choices=None if check == "number" else ("one", "two", "three", "four"))
    found = any_check(check).check([Response(prompt=prompt, text=t) for t in texts], None)
    counts[check] = [v.passed for v in found]
print(json.dumps({"seconds": time.process_time() - begun, "passed": counts}))
"""

PROBES = (
    "__import__('os').system('touch {trace}')", "().__class__.__mro__[1].__subclasses__()",
    "open('{trace}', 'w')", "exec(\"open('{trace}','w')\")", "eval('1/0')", "lambda: 0",
    "${{jndi:ldap://x}}", "`touch {trace}`", "$(touch {trace})", "{{{{ 7*7 }}}}",
    "9^9^9^9", "9**9**9**9", "9^{{9^{{9^9}}}}", "10000000!", "1e999999999", "0x" + "f" * 5000,
    "1/0", "nan", "inf", "-" * 5000 + "5", "+-+-" * 3000, "5" * 100_000, "." * 100_000,
    "{{" * 100_000, "\\boxed{{" * 100_000, "\\boxed{{5}}" * 20_000, "\\frac{{" * 50_000,
    "\\frac{{1}}" * 20_000, "\\sqrt{{" * 20_000, "(" * 100_000, "1," * 50_000, "1 " * 50_000,
    "1/" * 50_000, "1 or " * 20_000, "4 or 5" * 20_000, "answer is " * 20_000, "Answer: " * 20_000,
    "the answer the answer " * 10_000, "答案是" * 30_000, "选" * 100_000, "A or " * 20_000,
    "A, " * 30_000, "(A)" * 30_000, "not A but " * 10_000, "is correct " * 10_000,
    "one hundred and " * 20_000, "one " * 50_000, "一百万" * 30_000, "百分之" * 30_000,
    "<think>" * 20_000, "<answer>" * 20_000, "####" * 30_000, "#### \n" * 30_000,
    "minus " * 20_000, "rounded to " * 20_000, "= " * 50_000, "x=" * 50_000, "\u0000" * 1000,
    "\u202e5", "\u200b5\u200b", "\ud800", "5\u0301" * 1000, "＄" * 10_000, " " * 100_000 + "5",
    "\n" * 100_000, "\t" * 50_000 + "B", "a" * 1_000_000, "$" * 100_000, "**" * 50_000,
    "total " * 20_000 + "is", "sum value result " * 8_000, "5 " + "x" * 50_000, "[[" * 50_000,
    "is not " * 20_000, "5 is not the " * 10_000, "not 5 or " * 20_000, "isn't be the " * 10_000,
    "= 5, because " * 10_000, "(5, " * 30_000, "\\text{{" * 20_000, "9^{{999}} " * 10_000,
    "3万5千" * 20_000, "5 feet " * 20_000, "x = 5, " * 20_000, "\nA. " * 20_000, "A (" * 30_000,
    "a mistake " * 20_000, "most students " * 20_000, "choose A " * 20_000,
    "the obvious answer " * 9_000, "5 because " * 20_000, "1/6 ≈ " * 20_000, "如果选A" * 20_000,
)  # fmt: skip


def hostile(trace: Path) -> list[str]:
    """500 rows: each probe alone, and in the dresses in which answers come."""
    texts = [probe.format(trace=trace) for probe in PROBES]
    dresses = ("{}", "The answer is {}", "\\boxed{{{}}}", "#### {}", "答案：{}", "{} is the answer",
               "Answer: {} or 5")  # fmt: skip
    rows = [dress.format(text) for dress in dresses for text in texts]
    assert len(rows) >= 500
    return rows[:500]


def test_500_hostile_rows_take_under_a_minute_and_a_gibibyte_and_run_nothing(tmp_path):
    trace = tmp_path / "ran"
    lines = "".join(json.dumps(row) + "\n" for row in hostile(trace))
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=lines, capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert told["seconds"] < 60, time.perf_counter() - begun
    assert [len(found) for found in told["passed"].values()] == [500, 500]
    assert not trace.exists()


def test_no_number_is_made_of_code():
    from hrlaif.checks import Number
    from hrlaif.records import Message, Prompt, Response

    prompt = Prompt(id="q", messages=(Message(role="user", content="Q"),), reference_answer="49")
    texts = ["{{ 7*7 }}", "eval('7*7')", "__import__('math').pow(7, 2)", "lambda: 49 if 1 else 0"]
    # 7*7 is no plain number, and "7, 2" more than one answer.
    found = Number().check(
        [Response(prompt=prompt, text=t, sample=n) for n, t in enumerate(texts)], None
    )
    assert [v.passed for v in found] == [None, None, None, False]


@pytest.mark.parametrize("workers", [4])
def test_checks_run_in_threads(workers):
    from concurrent.futures import ThreadPoolExecutor

    from hrlaif.checks import Answer
    from hrlaif.records import Message, Prompt, Response

    prompt = Prompt(id="q", messages=(Message(role="user", content="Q"),), reference_answer="5")
    group = [Response(prompt=prompt, text=f"The answer is {n}.", sample=n) for n in range(8)]
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(lambda _: Answer().check(group, None), range(8)))
    assert all([v.passed for v in each] == [n == 5 for n in range(8)] for each in found)
