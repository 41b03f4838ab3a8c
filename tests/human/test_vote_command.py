import csv
import gzip
import io
import itertools
import json
import zipfile

import pytest


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def answer_all(visitor, answer=lambda item: {"prefers": "first"}):
    """Answers until nothing is left; returns how many."""
    many, hand = 0, visitor.hand()
    while hand["items"]:
        hand = visitor.vote(hand["items"][0]["id"], answer(hand["items"][0])).json()
        many += 1
    return many


def alpha(item):
    """Prefers the response of the first model, wherever it is shown."""
    return {"prefers": "first" if "Alpha" in item["responses"][0] else "second"}


def test_votes_become_rows_figures_and_a_page_when_the_server_ends(serve, pairs):
    site = serve(pairs, "--checks", 0, "--repeats", 0)
    for alias in ("ada", "bob", "cyd"):
        assert answer_all(site.visitor().join(alias), alpha) == 30
    out, _ = site.stop()
    folder = pairs.with_name("pairs.votes")
    assert f"90 votes by 3 raters in {folder}" in out
    rows = read(folder / "preferences.jsonl")
    assert len(rows) == 90
    assert {row["labeler"] for row in rows} == {"human/ada", "human/bob", "human/cyd"}
    assert {row["human_preference"] for row in read(folder / "pairs.jsonl")} == {1.0}
    found = json.loads((folder / "votes.json").read_text())
    (won,) = found["win_rate"]
    assert (won["of"], won["over"]) == ("secret-model-two", "secret-model-one")
    assert won["people"]["value"] == 0.0
    assert won["judge"]["value"] == 0.5  # the judge prefers a in every second pair
    assert set(won["by_category"]) == {"secret-category-x", "secret-category-y"}
    page = (folder / "votes.html").read_text()
    assert "Win rate of secret-model-two over secret-model-one" in page
    assert "<script" not in page


def test_a_killed_server_goes_on_with_the_same_command_links_and_votes(serve, pairs):
    site = serve(pairs)
    ada = site.visitor().join("ada")
    first = ada.hand()["items"]
    ada.vote(first[0]["id"], {"prefers": "tie"}, key="k" * 20)
    site.kill()
    again = serve(pairs, port=site.port)
    assert again.links == site.links
    hand = ada.hand()
    assert (hand["answered"], hand["items"][0]["id"]) == (1, first[1]["id"])
    once_more = ada.vote(first[0]["id"], {"prefers": "tie"}, key="k" * 20)
    assert (once_more.status, once_more.json()["answered"]) == (200, 1)


def test_other_rows_or_rules_in_the_same_folder_are_refused(hrlaif, serve, pairs, write):
    serve(pairs).stop()
    told = hrlaif("vote", pairs, "--overlap", 2, "--write", code=1)
    assert "begun with overlap = 3" in told.stderr
    assert "another folder with -o" in told.stderr
    write("pairs.jsonl", [{"prompt": "Q", "responses": ["x", "y"]}])
    assert "begun with other items" in hrlaif("vote", pairs, "--write", code=1).stderr


def test_files_of_models_whose_names_hold_a_dot_have_each_their_folder(hrlaif, write, tmp_path):
    for n, name in enumerate(("gpt-4.1.jsonl", "gpt-4.5.JSONL", "pairs.tar.jsonl.gz")):
        path = write("in.jsonl", [{"prompt": f"Q{n}", "responses": ["x", "y"]}])
        text = path.read_bytes()
        given = path.rename(tmp_path / name)
        given.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        hrlaif.here("vote", given, "--write")
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == {"gpt-4.1.votes", "gpt-4.5.votes", "pairs.tar.votes"}


def bytes_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_no_vote_is_never_replaced_by_votes(hrlaif, pairs, tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    for folder in (run, other):
        folder.mkdir()
        (folder / "preferences.jsonl").write_bytes(pairs.read_bytes())
    (other / "votes.json").write_text('{"mine": 1}')
    before = bytes_of(tmp_path)
    for file, out, says in (
        (pairs, tmp_path, f"{pairs} would be replaced, and it is what is read: name another -o"),
        (run, run, f"-o {run} is the run that is read: name another -o, or none"),
        (pairs, run, f"{run / 'preferences.jsonl'} would be replaced, and is no earlier result of"),
        (pairs, other, f"{other / 'preferences.jsonl'} would be replaced"),
    ):
        told = hrlaif.here("vote", file, "-o", out, "--write", code=2).stderr
        assert says in told
        assert bytes_of(tmp_path) == before
    own = tmp_path / "ratings.jsonl"
    own.write_text('{"id": "source-row-0", "prob_a": 1.0}')
    given = ("vote", run, "-o", tmp_path, "--beside", own, "--write")
    assert f"{own} would be replaced, and it is what is read" in hrlaif.here(*given, code=2).stderr


def test_a_study_writes_its_votes_again_and_one_that_never_did_is_named(hrlaif, pairs, tmp_path):
    folder = tmp_path / "new"
    for _ in range(2):
        hrlaif.here("vote", pairs, "-o", folder, "--write")
    (folder / "votes.json").unlink()
    told = hrlaif.here("vote", pairs, "-o", folder, "--write", code=2).stderr
    assert f"with --database sqlite:///{folder}/votes.sqlite to go on" in told


def test_the_guidelines_are_a_file_that_can_be_edited_while_people_vote(serve, pairs):
    site = serve(pairs, "--task", "summarization")
    assert "<strong>Coverage.</strong>" in site.visitor().ask("GET", "/").text
    path = pairs.with_name("pairs.votes") / "guidelines.md"
    path.write_text("# Ours\n\nBe *kind*. <script>alert(1)</script>\n", "utf-8")
    page = site.visitor().ask("GET", "/").text
    assert "<h1>Ours</h1>" in page
    assert "&lt;script&gt;" in page


def test_a_task_that_is_named_later_replaces_guidelines_unless_they_were_edited(hrlaif, pairs):
    def vote(*options):
        told = hrlaif.here("vote", pairs, "--write", *options).stderr
        return path.read_text("utf-8").splitlines()[0], told

    path = pairs.with_name("pairs.votes") / "guidelines.md"
    first, _ = vote()
    second, told = vote("--task", "summarization")
    assert first != second
    assert "edited" not in told
    assert vote()[0] == second  # none is named, so that what stands there stands
    path.write_text("# Ours\n", "utf-8")
    kept, told = vote("--task", "harmless")
    assert kept == "# Ours"
    assert f"{path} was edited, and is kept: delete it for the guidelines of --task harm" in told
    assert "was edited" not in vote()[1]
    path.unlink()
    assert vote("--task", "general")[0] == first


def test_links_for_named_raters_are_printed_and_work(serve, pairs):
    site = serve(pairs, "--rater", "ada", "--rater", "bob")
    visitor = site.visitor()
    page = visitor.ask("GET", site.links["ada"].removeprefix(site.url)).text
    fields = {name: visitor.hidden(page, name) for name in ("form", "session")}
    assert visitor.form("/begin", **fields).status == 303
    assert visitor.enter().hand()["total"] == 30


def test_a_person_with_a_dead_link_reads_a_page_and_a_script_gets_json(serve, pairs):
    visitor = serve(pairs).visitor()
    page = visitor.ask("GET", "/r/1.x.y", accept="text/html")
    assert (page.status, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "This link is of no rater here: ask the organiser for another." in page.text
    assert visitor.ask("GET", "/r/1.x.y").json()["error"].startswith("this link is of no rater")


def test_pairs_can_be_ranked_too(serve, pairs):
    site = serve(pairs, "--mode", "ranking", "--checks", 0, "--overlap", 1)
    answer_all(site.visitor().join("ada"), lambda item: {"ranking": [1, 0]})
    site.stop()
    rows = read(pairs.with_name("pairs.votes") / "preferences.jsonl")
    assert {row["id"] for row in rows} == {f"source-row-{n}" for n in range(30)}


def test_the_organiser_sees_progress_and_exports_while_people_vote(serve, pairs):
    site = serve(pairs, "--checks", 0, "--repeats", 0, "--overlap", 2)
    for alias in ("ada", "bob"):
        answer_all(site.visitor().join(alias), alpha)
    organiser = site.organiser()
    found = organiser.ask("GET", "/organiser/overview").json()
    assert (found["answers"], found["wanted"], found["whole"]) == (60, 60, 30)
    agreed = found["agreement"]["preference"]
    assert agreed["judge"] == {"value": 0.5, "low": None, "high": None, "n": 60}
    assert agreed["kappa"]["value"] is None  # always the same answer: chance would agree as well
    assert {r["rater"]: r["answers"] for r in found["raters"]} == {"ada": 30, "bob": 30}
    packed = organiser.ask("GET", "/organiser/export?form=rows")
    archive = zipfile.ZipFile(io.BytesIO(packed.body))
    assert len(archive.read("preferences.jsonl").splitlines()) == 60
    trl = organiser.ask("GET", "/organiser/export?form=trl").body.splitlines()
    assert all("Alpha" in json.loads(row)["chosen"][0]["content"] for row in trl)
    assert organiser.ask("GET", "/organiser/export?form=x").status == 400


def test_the_organiser_invites_forgets_and_deletes(serve, pairs):
    site = serve(pairs)
    organiser = site.organiser()
    made = organiser.ask("POST", "/organiser/invite", {"alias": "dora"}).json()
    taken = organiser.ask("POST", "/organiser/invite", {"alias": "dora"})
    assert (taken.status, "is taken" in taken.text) == (400, True)
    assert "Go on as dora" in site.visitor().ask("GET", made["link"]).text
    ada = site.visitor().join("ada")
    ada.vote(ada.hand()["items"][0]["id"], {"prefers": "tie"})
    people = organiser.ask("GET", "/organiser/overview").json()["raters"]
    number = {r["rater"]: r["id"] for r in people}["ada"]
    link = organiser.ask("POST", "/organiser/link", {"id": number}).json()["link"]
    assert "Go on as ada" in site.visitor().ask("GET", link).text
    assert organiser.ask("POST", "/organiser/forget", {"id": number}).status == 200
    assert ada.ask("GET", "/api/next").status == 410
    assert organiser.ask("POST", "/organiser/forget", {"id": number}).status == 400
    assert organiser.ask("POST", "/organiser/link", {"id": number}).status == 410


def test_a_rater_deletes_alias_and_votes(serve, pairs):
    site = serve(pairs)
    ada = site.visitor().join("ada")
    ada.vote(ada.hand()["items"][0]["id"], {"prefers": "tie"})
    assert ada.ask("POST", "/api/leave", {"delete": True}).status == 200
    assert "0 votes by 0 raters" in site.stop()[0]
    text = (pairs.with_name("pairs.votes") / "votes.json").read_text()
    assert "ada" not in text


@pytest.mark.parametrize("form", ["argilla", "label-studio", "potato", "csv", "rows"])
def test_votes_exported_here_come_in_elsewhere_once(form, hrlaif, serve, pairs, tmp_path):
    site = serve(pairs, "--checks", 0, "--repeats", 0)
    answers = ["first", "second", "tie"]
    for n, alias in enumerate(("ada", "bob")):
        turn = itertools.cycle(answers[n:] + answers[:n])
        answer_all(site.visitor().join(alias), lambda item, turn=turn: {"prefers": next(turn)})
    site.stop()
    folder = pairs.with_name("pairs.votes")
    kept = folder / "preferences.jsonl"
    end = {"argilla": "json", "label-studio": "json", "csv": "csv"}.get(form, "jsonl")
    out = tmp_path / f"elsewhere.{end}"
    if form == "rows":
        out = kept
    else:
        hrlaif.here("export", kept, "--to", form, "-o", out)
    other = tmp_path / "other"
    for new in (60, 0):
        told = hrlaif.here("vote", pairs, "-o", other, "--import", out).stderr
        assert f"{new} votes added, {60 - new} were there already" in told
    said = {(row["id"], row["labeler"]): row["prob_a"] for row in read(kept)}
    brought = {(r["id"], r["labeler"]): r["prob_a"] for r in read(other / "preferences.jsonl")}
    assert brought == said
    assert len(said) == 60


def test_votes_exported_to_trl_come_in_on_the_side_they_were_given_to(
    hrlaif, write, serve, pairs, tmp_path
):
    """TRL has neither ties nor names: one rater, who takes sides."""
    site = serve(pairs, "--checks", 0, "--repeats", 0)
    turn = itertools.cycle(["first", "second"])
    answer_all(site.visitor().join("ada"), lambda item: {"prefers": next(turn)})
    site.stop()
    kept, out = pairs.with_name("pairs.votes") / "preferences.jsonl", tmp_path / "trl.jsonl"
    hrlaif.here("export", kept, "--to", "trl", "-o", out)
    rows = read(out)
    unpaired = {k: rows[0][k] for k in ("id", "prompt")} | {"completion": "x", "label": True}
    other = tmp_path / "other"
    told = hrlaif.here("vote", pairs, "-o", other, "--import", write("t.jsonl", [*rows, unpaired]))
    assert "30 votes added, 0 were there already" in told.stderr
    assert "t.jsonl: 1 row without an answer by people left out" in told.stderr
    said = {row["id"]: row["prob_a"] for row in read(kept)}
    assert {row["id"]: row["prob_a"] for row in read(other / "preferences.jsonl")} == said
    assert set(said.values()) == {0.0, 1.0}


def test_votes_on_rows_that_are_not_asked_are_refused_by_name(hrlaif, pairs, write):
    rows = [{"id": "source-row-1", "question": "preference", "answer": "a", "by": "ada"},
            {"id": "other", "question": "preference", "answer": "a", "by": "ada"}]  # fmt: skip
    told = hrlaif("vote", pairs, "--import", write("in.jsonl", rows), code=1).stderr
    assert "in.jsonl, line 2: id 'other' is asked no question of preference here" in told
    bad = write(
        "bad.jsonl", [{"id": "source-row-1", "question": "preference", "answer": "7", "by": "x"}]
    )
    told = hrlaif("vote", pairs, "--import", bad, code=1).stderr
    assert "bad.jsonl, line 1: '7' is no answer to 'preference'" in told
    long = write("long.jsonl", [rows[0], {**rows[0], "by": "x" * 41}])
    told = hrlaif("vote", pairs, "--import", long, code=1).stderr
    assert f"long.jsonl, line 2: '{'x' * 41}': an alias has 1 to 40 printable characters" in told


def test_labels_of_a_judge_are_no_votes(hrlaif, write, tmp_path):
    rows = [{"id": f"{n}", "prompt": "Q", "responses": ["x", "y"]} for n in range(6)]
    given, labels, table = write("p.jsonl", rows), tmp_path / "l.jsonl", tmp_path / "l.csv"
    hrlaif.here("label", given, "-o", labels, "--judge", "scripted:")
    hrlaif.here("export", labels, "--to", "csv", "-o", table)
    told = hrlaif.here("vote", given, "-o", tmp_path / "v", "--import", table, code=1).stderr
    assert "no answer by people is in this file" in told
    assert not (tmp_path / "v" / "votes.json").exists()


def test_an_import_through_the_page_names_the_row_and_not_a_path(serve, pairs):
    organiser = serve(pairs).organiser()
    body = '{"id": "nobody", "question": "preference", "answer": "a", "by": "eve"}\n'
    told = organiser.ask("POST", "/organiser/import?name=v.jsonl", body)
    assert told.status == 400
    assert "the file, line 1: id 'nobody'" in told.json()["error"]
    good = body.replace("nobody", "source-row-3")
    assert organiser.ask("POST", "/organiser/import?name=v.jsonl", good).json() == {
        "new": 1,
        "known": 0,
        "silent": 0,
    }
    assert organiser.ask("POST", "/organiser/import?name=v.exe", good).status == 400


@pytest.mark.parametrize(
    ("rows", "more", "code", "says"),
    [
        ([{"prompt": "Q", "responses": ["a"]}], [], 1, "line 1: 1 response, where a pair has 2"),
        (
            [{"prompt": "Q", "response": "a"}],
            ["--mode", "ranking"],
            2,
            "no prompt has 2 to 4 responses",
        ),
        (
            [{"prompt": "Q", "response": c, "id": c} for c in "abcde"],
            ["--mode", "ranking"],
            2,
            "2 to 4",
        ),
        ([{"prompt": "Q", "response": "a"}], ["--mode", "best"], 2, "'best' is none of preference"),
        ([{"prompt": "Q", "response": "a"}], ["--task", "x"], 2, "'x' is none of general"),
        ([{"prompt": "Q", "response": "a"}], ["--rater", " "], 1, "1 to 40 printable characters"),
        (
            [
                {"prompt_id": "p", "prompt": f"Q{n // 2}", "response": "a", "id": f"{n}"}
                for n in range(4)
            ],
            [],
            1,
            "'preference/p' stands for two items",
        ),
        ([{"prompt": "Q", "response": "a"}], ["--port", "99999"], 2, "another --port"),
        ([{"prompt": "Q", "response": "a"}], ["--limit", "0"], 2, "greater than or equal to 1"),
        ([{"prompt": "Q", "response": "a"}], ["--limit", "-1"], 2, "greater than or equal to 1"),
        ([{"prompt": "Q", "response": "a"}], ["--public-url", "x"], 2, "https://vote.example.org"),
        (
            [{"prompt": "Q", "response": "a"}],
            ["--database", "mysql://x/y"],
            2,
            "neither sqlite nor",
        ),
    ],
)
def test_what_cannot_be_voted_on_is_told(rows, more, code, says, hrlaif, write):
    assert says in hrlaif("vote", write("in.jsonl", rows), *more, code=code).stderr


def test_a_file_without_a_fitting_mode_option_gets_the_question_that_fits(serve, write):
    one = [{"id": f"{n}", "prompt": f"Q{n}", "response": "x"} for n in range(3)]
    two = [
        {"id": f"{m}{n}", "prompt": f"Q{n}", "response": m, "model": m}
        for n in range(3)
        for m in "ab"
    ]
    three = [*two, *({"id": f"c{n}", "prompt": f"Q{n}", "response": "c"} for n in range(3))]
    for name, rows, mode in (
        ("1", one, "satisfaction"),
        ("2", two, "preference"),
        ("3", three, "ranking"),
    ):
        site = serve(write(f"{name}.jsonl", rows))
        assert site.visitor().join("ada").hand()["items"][0]["mode"] == mode


def test_a_failed_draw_of_a_file_is_left_out_and_a_file_of_nothing_else_is_refused(
    hrlaif, write, tmp_path
):
    gone = {"response": "", "finish_reason": "error", "model": "m"}
    rows = [{"prompt": "Q?", "response": "x", "model": "m"}, {"prompt": "R?", **gone}]
    told = hrlaif.here("vote", write("r.jsonl", rows), "--write").stderr
    assert "1 left out: no response" in told
    told = hrlaif.here("vote", write("none.jsonl", rows[1:]), "--write", code=1).stderr
    assert "nothing to vote on, for draws failed (`finish_reason: error`): sample the" in told
    assert not (tmp_path / "none.votes").exists()


def test_a_judges_verdicts_stand_beside_the_votes(serve, write, tmp_path):
    rows = [{"id": f"{n}", "prompt": f"Q{n}", "response": f"text {n}"} for n in range(8)]
    judged = [{"id": f"{n}", "check": "harmless", "passed": n < 6} for n in range(8)]
    site = serve(
        write("r.jsonl", rows),
        "--mode",
        "harmless",
        "--beside",
        write("j.jsonl", judged),
        "--checks",
        0,
    )
    answer_all(site.visitor().join("ada"), lambda item: {"harmless": "yes"})
    site.stop()
    (rate,) = json.loads((tmp_path / "r.votes" / "votes.json").read_text())["harmless_rate"]
    assert (rate["people"]["value"], rate["judge"]["value"]) == (1.0, 0.75)


def run_folder(folder):
    """What the evaluation stage leaves: two policies' responses, and the judge's verdicts."""
    rows = {"sft": [], "policy": [], "comparisons": []}
    for n in range(6):
        prompt = {"prompt_id": f"p{n}", "prompt": f"Question {n}?", "category": "xy"[n % 2]}
        sides = {name: f"{name} answers {n}" for name in ("sft", "policy")}
        for name, text in sides.items():
            row = {"id": f"p{n}/base/0", **prompt, "response": text, "model": "base", "sample": 0}
            rows[name].append(row)
        pair = {"a": {"text": sides["sft"]}, "b": {"text": sides["policy"]}}
        rows["comparisons"].append(
            {"id": f"p{n}", **prompt, **pair, "prob_a": 0.25, "labeler": "ai"}
        )
    (folder / "evaluation").mkdir(parents=True)
    for name, found in rows.items():
        end = "" if name == "comparisons" else "_responses"
        text = "".join(json.dumps(row) + "\n" for row in found)
        (folder / "evaluation" / f"{name}{end}.jsonl").write_text(text)
    return folder


def test_a_run_folder_is_voted_on_and_its_report_shows_people_beside_the_judge(
    hrlaif, serve, tmp_path
):
    run = run_folder(tmp_path / "run")
    modes = ("--mode", "preference", "--mode", "satisfaction")
    site = serve(run, *modes, "--checks", 0, "--repeats", 0, "--overlap", 1)

    def answer(item):
        if item["mode"] == "satisfaction":
            return {"satisfaction": 5 if "policy" in item["responses"][0] else 2}
        return {"prefers": "first" if "policy" in item["responses"][0] else "second"}

    assert answer_all(site.visitor().join("ada"), answer) == 18
    site.stop()
    found = json.loads((run / "votes" / "votes.json").read_text())
    (won,) = found["win_rate"]
    assert (won["of"], won["over"], won["people"]["value"]) == ("policy", "sft", 1.0)
    assert (won["judge"]["value"], won["judge"]["n"]) == (0.75, 6)
    satisfied = {row["of"]: row["people"]["value"] for row in found["satisfaction_rate"]}
    assert satisfied == {"policy": 1.0, "sft": 0.0}
    hrlaif.here("report", run)
    page = (run / "report.html").read_text()
    assert "What people say" in page
    assert "Win rate of policy over sft" in page
    responses = run / "evaluation" / "policy_responses.jsonl"
    responses.write_text(responses.read_text().replace("policy answers 3", "another answer"))
    for name in ("votes/pairs.jsonl", "votes/ratings.jsonl"):
        hrlaif.here("report", run)
        page = (run / "report.html").read_text()
        assert "votes/ are about responses that this run no longer has: move that folder" in page
        assert "Win rate of policy over sft" not in page
        (run / name).unlink()  # whichever of the two says it
        (run / "votes/pairs.jsonl").touch()
    hrlaif.here("report", run)
    assert "Win rate of policy over sft" in (run / "report.html").read_text()


def test_the_rlhf_stages_train_on_exported_votes(hrlaif, serve, pairs, tiny_model, tmp_path):
    site = serve(pairs, "--checks", 0, "--repeats", 0, "--overlap", 1)
    answer_all(site.visitor().join("ada"), alpha)
    site.stop()
    votes = pairs.with_name("pairs.votes") / "pairs.jsonl"
    run = tmp_path / "rlhf"
    hrlaif.here("init", run, "--recipe", "rlhf")
    settings = {
        "prompts.source": votes, "labeling.pairs": votes, "model": f"local:{tiny_model}",
        "judge": "scripted:accuracy=0.9", "prompts.validation": 4, "prompts.test": 4,
        "sampling.max_tokens": 8,
    }  # fmt: skip
    given = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    hrlaif("run", run, "--until", "reward", *given)
    labels = read(run / "preferences.jsonl")
    assert {row["prob_a"] for row in labels} == {1.0}
    assert len(labels) == 30
    assert (run / "reward_model" / "config.json").exists()


def test_no_field_of_the_data_is_alive_on_the_page_of_figures(serve, write, tmp_path):
    bad = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    rows = [
        {
            "id": f"{bad}{n}",
            "prompt": bad,
            "category": bad,
            "a": {"text": bad, "model": f"A{bad}"},
            "b": {"text": f"{bad}.", "model": f"B{bad}"},
            "prob_a": 0.5,
            "labeler": bad,
        }
        for n in range(3)
    ]
    site = serve(write("in.jsonl", rows), "--overlap", 1, "--checks", 0)
    skipped = iter([{"skipped": bad[:60]}])
    answer_all(site.visitor().join(bad[:40]), lambda item: next(skipped, {"prefers": "tie"}))
    site.stop()
    page = (tmp_path / "in.votes" / "votes.html").read_text()
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "<img" not in page


@pytest.mark.parametrize("form", ["trl", "argilla", "label-studio", "potato", "csv"])
def test_labels_of_a_judge_are_exported_too_and_ties_are_counted(form, hrlaif, write, tmp_path):
    rows = [
        {
            "id": f"{n}",
            "prompt": "Q",
            "a": {"text": "x"},
            "b": {"text": "y"},
            "prob_a": p,
            "labeler": "ai",
        }
        for n, p in enumerate((0.9, 0.5, 0.2))
    ]
    out = tmp_path / "out"
    done = hrlaif.here("export", write("p.jsonl", rows), "--to", form, "-o", out)
    assert f"{2 if form == 'trl' else 3} rows in {out}" in done.stdout
    assert ("1 left out: ties" in done.stderr) == (form == "trl")
    told = hrlaif.here("export", tmp_path / "p.jsonl", "--to", form, "-o", out, "--json").stdout
    left = {"ties, which TRL has no form for": 1} if form == "trl" else {}
    assert json.loads(told) == {"rows": 3 - len(left), "left_out": left, "out": str(out)}
    text = out.read_text("utf-8-sig")
    if form == "trl":
        assert [json.loads(line)["chosen"][0]["content"] for line in text.splitlines()] == [
            "x",
            "y",
        ]
    if form == "argilla":
        found = [r["suggestions"]["preference"] for r in json.loads(text)]
        assert [(s["value"], s["score"], s["agent"]) for s in found] == [
            ("a", 0.9, "ai"), ("tie", 0.5, "ai"), ("b", 0.8, "ai"),
        ]  # fmt: skip
    if form == "label-studio":
        assert [len(task["predictions"]) for task in json.loads(text)] == [1, 1, 1]


def test_no_cell_of_a_csv_is_a_formula(hrlaif, write, tmp_path):
    evil = ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", " =1", "＝1"]
    rows = [
        {"id": f"={n}", "prompt": text, "chosen": text, "rejected": text + "x", "category": text}
        for n, text in enumerate(evil)
    ]
    hrlaif.here("export", write("p.jsonl", rows), "--to", "csv", "-o", tmp_path / "o.csv")
    with (tmp_path / "o.csv").open(encoding="utf-8-sig", newline="") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row if cell]
    assert sum(cell.startswith("'") for cell in cells) == 5 * len(evil)
    assert not [cell for cell in cells if cell.lstrip()[0] in "=+-@＝"]


def test_export_refuses_an_unknown_form_and_gzip_goes_in(hrlaif, tmp_path):
    path = tmp_path / "p.jsonl.gz"
    row = {"prompt": "Q", "chosen": "x", "rejected": "y"}
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    hrlaif.here("export", path, "--to", "trl", "-o", tmp_path / "o.jsonl")
    told = hrlaif.here("export", path, "--to", "excel", "-o", tmp_path / "o", code=2).stderr
    assert "'excel' is none of trl, argilla, label-studio, potato, csv" in told


def test_an_export_makes_its_folder_and_is_no_folder_and_errors_name_the_file(
    hrlaif, write, tmp_path
):
    given = write("p.jsonl", [{"prompt": "Q", "chosen": "x", "rejected": "y"}])
    out = tmp_path / "new" / "deep" / "o.csv"
    hrlaif.here("export", given, "--to", "csv", "-o", out)
    assert out.exists()
    told = hrlaif.here("export", given, "--to", "csv", "-o", out.parent, code=2).stderr
    assert f"{out.parent} is a folder: name a file" in told
    (tmp_path / "o.csv.tmp").mkdir()
    told = hrlaif.here("export", given, "--to", "csv", "-o", tmp_path / "o.csv", code=1).stderr
    assert f"{tmp_path / 'o.csv'}: Is a directory" in told


def test_an_export_without_a_row_is_refused_and_says_what_can_be_exported(hrlaif, write, tmp_path):
    out = tmp_path / "o.jsonl"
    scores = write("s.jsonl", [{"id": "r", "value": 7.0, "distribution": None, "scorer": "direct"}])
    told = hrlaif.here("export", scores, "--to", "trl", "-o", out, code=1).stderr
    assert f"{scores} has no row for trl (1 left out: rows without a verdict): what can be" in told
    assert "a score is none of these" in told
    tie = {"id": "t", "prompt": "Q", "responses": ["x", "y"], "prob_a": 0.5}
    told = hrlaif.here("export", write("t.jsonl", [tie]), "--to", "trl", "-o", out, code=1).stderr
    assert "1 left out: ties" in told
    assert not out.exists()


def test_verdicts_of_a_check_are_exported_once_their_responses_stand_beside_them(
    hrlaif, write, tmp_path
):
    row = {"id": "r", "check": "number", "passed": True, "answer": "4", "reason": "equal"}
    row["evidence"] = {"reference": "4"}
    given, out = write("v.jsonl", [row]), tmp_path / "o.jsonl"
    told = hrlaif.here("export", given, "--to", "trl", "-o", out, code=1).stderr
    assert f"{given}, line 1: no `response` beside its id: add it, and its `prompt`" in told
    whole = write("w.jsonl", [{**row, "prompt": "2 + 2?", "response": "4"}])
    hrlaif.here("export", whole, "--to", "trl", "-o", out)
    [found] = read(out)
    assert (found["completion"][0]["content"], found["label"]) == ("4", True)
