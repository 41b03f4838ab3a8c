"""What runs in the process that compares? math-verify, under limits it has set itself first.

Run as a script by `symbolic.py`, never imported: one JSON line in, one JSON line out.
"""

import json
import os
import resource
import sys


def _limit(megabytes: int) -> None:
    space = megabytes << 20
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _equal(reference: str, answer: str) -> dict[str, object]:
    from math_verify import parse, verify  # its absence ends the process: symbolic.py says so

    try:
        # Its own alarm is off: the process that asked ends this one.
        gold = parse(f"${reference.strip().strip('$')}$", parsing_timeout=None)
        given = parse(f"${answer.strip().strip('$')}$", parsing_timeout=None)
        if not gold or not given:
            what = "reference" if not gold else "answer"
            return {"equal": None, "reason": f"the {what} is not an expression"}
        # verify is not symmetric: the reference comes first.
        same = verify(gold, given, timeout_seconds=None)
    except (Exception, RecursionError, MemoryError) as error:
        return {"equal": None, "reason": f"not comparable ({type(error).__name__})"}
    return {"equal": bool(same), "reason": "equal" if same else "different"}


def main() -> None:
    """Answers until its input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # What a library prints is no answer.
    # The first comparison loads grammars for seconds: that is no time of a question's own.
    _equal(r"\frac{\pi}{2}", r"\sqrt{2}")
    _limit(int(sys.argv[1]))
    print(json.dumps({"ready": True}), file=out, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        told = _equal(question["reference"], question["answer"])
        print(json.dumps(told), file=out, flush=True)


if __name__ == "__main__":
    main()
