"""What did the judges come to, set by set? Writes tables.md and agreement.svg from the pages.

python docs/study/tables.py [FOLDER]     # `make docs`; a test checks that the tables are current
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NOTE = "<!-- Written by `make docs` from the study.json of each page. -->"
LARGE, SMALL = "packaged:qwen2.5-coder-1.5b-instruct", "packaged:gemma-3-270m"
SETS = {
    "pandalm": "PandaLM",
    "mt_bench": "MT-bench",
    "auto_j": "Auto-J",
    "llmbar": "LLMBar",
    "hh_helpful": "HH helpful",
    "hh_harmless": "HH harmless",
}
WAYS = [
    *("base", "base-1shot", "base-2shot", "base-rationale", "detailed"),
    *("detailed-1shot", "detailed-2shot", "detailed-8shot", "detailed-rationale"),
    *("detailed-1shot-rationale", "detailed-2shot-rationale", "base-single"),
]
Part = dict[str, Any]


def read(name: str) -> Part:
    """Of a set, what the tables stand on: each judge's ways of asking, and its page."""
    page, both, small = (
        json.loads((HERE / name / part / "study.json").read_text("utf-8"))
        for part in ("", "both", "small")
    )
    ways = {**both["judges"][SMALL]["variants"]}
    reasoned = small["judges"][SMALL]["variants"]
    ways |= {way: found for way, found in reasoned.items() if way.endswith("-rationale")}
    return {
        "baselines": page["baselines"],
        LARGE: page["judges"][LARGE] | {"between": both["between_judges"]},
        SMALL: both["judges"][SMALL] | {"variants": ways},
    }


def tables(sets: dict[str, Part]) -> str:
    """The page of all tables."""
    lines = [
        "# The packaged judges in figures",
        NOTE,
        "",
        "On the half of 200 pairs that reports, ties left out; intervals are of 95 %. What it says",
        "is in [the study](README.md), how to read it [in its manual](../study.md#how-to-read-it).",
        "",
        "## The base question",
        "",
        *table("", sets, base_rows()),
        "",
        "## Ways of asking",
        "",
        "Agreement with people, and in brackets in how many pairs the same position is named in",
        "both orders. The smaller judge's reasons end at 128 tokens, the larger one's at 512.",
        "",
        *table("1.5B", sets, [(f"`{way}`", agreement(LARGE, way)) for way in WAYS]),
        "",
        *table("270M", sets, [(f"`{way}`", agreement(SMALL, way)) for way in WAYS]),
        "",
        "## Against the base question",
        "",
        "Difference in agreement on the same pairs, in points, and its p; **bold** where it is",
        "below 0.05 after Holm's correction for the ways of that page.",
        "",
        *table("1.5B", sets, [(f"`{way}`", against_base(LARGE, way)) for way in WAYS[1:]]),
        "",
        *table("270M", sets, [(f"`{way}`", against_base(SMALL, way)) for way in WAYS[1:]]),
    ]
    return "\n".join(lines) + "\n"


def table(
    corner: str, sets: dict[str, Part], rows: list[tuple[str, Callable[[Part], str]]]
) -> Iterator[str]:
    """A column a set; rows without any cell are left out."""
    yield f"| {corner} | " + " | ".join(SETS.values()) + " |"
    yield "|---" * (len(SETS) + 1) + "|"
    for title, cell in rows:
        cells = [cell(found) for found in sets.values()]
        if any(cells):
            yield f"| {title} | " + " | ".join(cells) + " |"


def base_rows() -> list[tuple[str, Callable[[Part], str]]]:
    """What stands in the first table."""

    def of(judge: str, key: str, way: str = "base") -> Callable[[Part], Any]:
        return lambda found: found[judge]["variants"][way][key]

    def chosen(fit: str) -> Callable[[Part], str]:
        return lambda found: value(found[LARGE]["calibration"][fit]["ece"])

    def longer(part: str) -> Callable[[Part], str]:
        def cell(found: Part) -> str:
            rules = found[LARGE]["variants"]["base"].get("baselines")  # not of older studies
            return value(rules[part]["always_longer"]) if rules else ""

        return cell

    large, small = of(LARGE, "agreement"), of(SMALL, "agreement")
    return [
        ("pairs", lambda found: str(large(found)["n"])),
        ("agreement, 1.5B", lambda found: interval(large(found))),
        (
            "the same, one order",
            lambda found: interval(of(LARGE, "agreement", "base-single")(found)),
        ),
        ("agreement, 270M", lambda found: interval(small(found))),
        ("always the longer", lambda found: interval(found["baselines"]["always_longer"])),
        ("always the first", lambda found: interval(found["baselines"]["always_first"])),
        ("same position, 1.5B", lambda found: value(of(LARGE, "same_position")(found))),
        ("same position, 270M", lambda found: value(of(SMALL, "same_position")(found))),
        ("1.5B, the half it is surer of", lambda found: value(of(LARGE, "confident_half")(found))),
        ("always the longer there", longer("confident_half")),
        ("1.5B, the other half", lambda found: value(of(LARGE, "faint_half")(found))),
        ("always the longer there", longer("faint_half")),
        ("probability of 1 and 2, 1.5B", lambda found: value(of(LARGE, "mass")(found))),
        ("probability of 1 and 2, 270M", lambda found: value(of(SMALL, "mass")(found))),
        ("way chosen, 1.5B", lambda found: f"`{found[LARGE]['chosen']}`"),
        ("its calibration error, raw", chosen("raw")),
        ("the same, by temperature", chosen("temperature")),
    ]


def agreement(judge: str, way: str) -> Callable[[Part], str]:
    """Agreement and same position of a way, or nothing."""

    def cell(found: Part) -> str:
        part = found[judge]["variants"].get(way)
        if part is None:
            return ""
        same = part["same_position"]
        known = same["value"] is not None  # of one order alone it is not
        return value(part["agreement"]) + (f" ({value(same, 2)})" if known else "")

    return cell


def against_base(judge: str, way: str) -> Callable[[Part], str]:
    """The paired difference of a way and its p, or nothing."""

    def cell(found: Part) -> str:
        part = found[judge]["variants"].get(way)
        if part is None or part["against_base"] is None:
            return ""
        beside = part["against_base"]
        shown = f"{100 * beside['difference']['value']:+.1f} ({beside['p']:.3f})"
        return f"**{shown}**" if beside["p_holm"] < 0.05 else shown

    return cell


def value(figure: Part, digits: int = 3) -> str:
    """A figure without its interval."""
    return f"{figure['value']:.{digits}f}"


def interval(figure: Part) -> str:
    """A figure with its interval."""
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def chart(sets: dict[str, Part], path: Path) -> None:
    """A panel a set: each way of asking, both judges, a coin and the longer response."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "study", "font.size": 9}
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(2, 3, figsize=(10, 7.2), sharex=True, sharey=True)
    figure.patch.set_facecolor("white")
    for panel, found, title in zip(panels.flat, sets.values(), SETS.values(), strict=True):
        panel.axvline(0.5, color="#999999", lw=0.9)
        longer = found["baselines"]["always_longer"]["value"]
        panel.axvline(longer, color="#444444", lw=1.2, ls=(0, (4, 3)))
        for judge, color, mark, shift in (
            (LARGE, "#1f5c99", "o", -0.17),
            (SMALL, "#c05000", "s", 0.17),
        ):
            for y, way in enumerate(WAYS):
                part = found[judge]["variants"].get(way)
                if part is not None:
                    got = part["agreement"]
                    panel.plot([got["low"], got["high"]], [y + shift] * 2, color=color, lw=1.3)
                    panel.plot([got["value"]], [y + shift], mark, color=color, ms=4)
        panel.set_title(title, fontsize=10)
        panel.set_yticks(range(len(WAYS)), WAYS)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0, 0].invert_yaxis()
    for panel in panels[1]:
        panel.set_xlabel("agreement with people")
    handles = [
        pyplot.Line2D([], [], color="#1f5c99", marker="o", ms=4, label="Qwen2.5-Coder-1.5B"),
        pyplot.Line2D([], [], color="#c05000", marker="s", ms=4, label="Gemma-3-270M"),
        pyplot.Line2D([], [], color="#444444", lw=1.2, ls=(0, (4, 3)), label="always the longer"),
        pyplot.Line2D([], [], color="#999999", lw=0.9, label="a coin"),
    ]
    figure.legend(handles=handles, loc="upper center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.955))
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Writes both files."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    sets = {name: read(name) for name in SETS}
    (folder / "tables.md").write_text(tables(sets), "utf-8")
    chart(sets, folder / "agreement.svg")


if __name__ == "__main__":
    main()
