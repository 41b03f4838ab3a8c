"""Does a run folder keep what is still good, refuse what is not, and say which is which?"""

import json

import pytest

from hrlaif import running
from hrlaif.config import Config
from hrlaif.errors import StaleRunError, TooManyAbstentions, UsageError
from hrlaif.pipeline import stages
from hrlaif.run import Receipt, begin, digests, finish, read_receipt
from hrlaif.standing import held, refuse_changed, standing

ONE, OTHER = "scripted:seed=1", "scripted:seed=2"
SMALL = {"prompts": {"train": 4, "validation": 2, "test": 2}, "judge": ONE}


def stage_of(config, name):
    return next(stage for stage in stages(config) if stage.name == name)


def made(folder, config, *names, **counts):
    """Stages as if they were done: their files with a word in each, and their receipts."""
    for name in names:
        stage = stage_of(config, name)
        told = {"settings": stage.fingerprint(config), "inputs": digests(folder, stage.reads)}
        receipt = begin(folder, Receipt(stage=name, **told))
        for file in stage.writes:
            (folder / file).write_text(f"{name}\n")
        finish(folder, receipt, stage.writes, counts=counts)


def states(folder, config):
    return {stage.name: standing(folder, stage, config)[0] for stage in stages(config)}


WHOLE = ("prompts", "sft", "responses", "label", "reward", "policy", "evaluate", "report")


def test_a_refused_redo_deletes_nothing_of_the_eight_stages(tmp_path):
    config = Config.parse(SMALL)
    made(tmp_path, config, *WHOLE)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    changed = Config.parse({**SMALL, "sampling": {"max_tokens": 9}})
    with pytest.raises(StaleRunError, match=r"responses was begun with sampling.max_tokens = \d+"):
        running.redo(tmp_path, changed, "policy")
    with pytest.raises(UsageError, match="--redo label: it comes after --until responses"):
        running.redo(tmp_path, config, "label", until="responses")
    (tmp_path / "sft").unlink()
    with pytest.raises(Exception, match="sft is gone: put it back"):
        running.redo(tmp_path, config, "policy")
    (tmp_path / "sft").write_text("sft\n")
    found = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: found.get(path) for path in before} == before
    running.redo(tmp_path, changed, "responses")
    assert list(states(tmp_path, changed).values()) == ["done"] * 2 + ["to do"] * 6


REDO = "hrlaif run R --redo policy"
FAR = {"kind": "remote", "model": "m", "base_url": "http://localhost:1/v1"}


def redone_and_stopped(folder, config, command=REDO):
    """A run whose policy a command began to redo, and had not done when it was stopped."""
    made(folder, config, *WHOLE)
    running.redo(folder, config, "policy", command=command)
    stage = stage_of(config, "policy")
    told = {"settings": stage.fingerprint(config), "inputs": digests(folder, stage.reads)}
    begin(folder, Receipt(stage="policy", command=command, **told))
    (folder / "policy" / "step_0003").mkdir(parents=True)
    checkpoint = folder / "policy" / "step_0003" / "state"
    checkpoint.write_text("three steps\n")
    return checkpoint


@pytest.mark.parametrize(
    ("command", "changed", "kept"),
    [
        (REDO, {}, True),
        (f"{REDO} --max-cost 9", {}, True),  # how to go on where a lower one was reached
        # What an error advises, and what does not say which stages are redone.
        (f"{REDO} --set judge.timeout=600", {"judge": {**FAR, "timeout": 600}}, True),
        (f"{REDO} --set max_abstentions=0.5", {"max_abstentions": 0.5}, True),
        ("hrlaif run R/ --redo=policy", {}, True),
        ("hrlaif run R --redo policy --until policy", {}, False),
        ("", {}, False),
        (REDO, {"policy": {"steps": 3}}, False),  # what was begun would be refused
    ],
)
def test_the_command_that_began_to_redo_a_stage_keeps_its_checkpoints_when_it_goes_on(
    command, changed, kept, tmp_path, capsys
):
    small = {**SMALL, "judge": FAR}
    checkpoint = redone_and_stopped(tmp_path, Config.parse(small))
    until = "policy" if "--until" in command else None
    config = Config.parse({**small, **changed})
    running.redo(tmp_path, config, "policy", until=until, command=command)
    assert checkpoint.exists() is kept
    said = capsys.readouterr().err
    assert ("goes on with what this command began" in said) is kept
    assert ("policy: what was begun is deleted" in said) is not kept


def test_a_dry_run_of_a_redo_that_was_stopped_counts_what_is_left_of_it(
    tmp_path, hrlaif, monkeypatch
):
    config = Config.parse(SMALL)
    redone_and_stopped(tmp_path, config)
    (tmp_path / "config.yaml").write_text(json.dumps(SMALL))

    def found(name):
        given = ("run", str(tmp_path), "--dry-run", "--redo", name, "--json")
        monkeypatch.setattr("sys.argv", ["hrlaif", *given])
        done = hrlaif.here(*given)
        return [stage["state"] for stage in json.loads(done.stdout)["stages"]][4:6]

    assert found("policy") == ["done", "begun"]
    assert found("reward") == ["to do", "to do"]


def finished_policy(folder, **counts):
    path = folder / "receipts" / "policy.json"
    finish(folder, Receipt.model_validate_json(path.read_text()), ["policy"], counts=counts)


def test_a_redo_that_is_done_begins_anew_with_the_same_command(tmp_path):
    config = Config.parse(SMALL)
    checkpoint = redone_and_stopped(tmp_path, config)
    finished_policy(tmp_path)
    running.redo(tmp_path, config, "policy", command=REDO)  # not yet evaluated: it goes on
    assert checkpoint.exists()
    running.redo(tmp_path, config, "policy", until="policy", command=REDO)
    assert not checkpoint.exists()


def test_a_redo_that_ended_in_silence_begins_anew_with_the_same_command(tmp_path):
    config = Config.parse(SMALL)
    checkpoint = redone_and_stopped(tmp_path, config)
    finished_policy(tmp_path, abstained_share=0.9)
    running.redo(tmp_path, config, "policy", command=REDO)
    assert not checkpoint.exists()


def test_a_redo_begins_anew_where_another_command_has_redone_a_later_stage(tmp_path):
    config = Config.parse(SMALL)
    checkpoint = redone_and_stopped(tmp_path, config)
    finished_policy(tmp_path)
    begin(tmp_path, Receipt(stage="evaluate", settings={}, inputs={}, command="x --redo evaluate"))
    running.redo(tmp_path, config, "policy", command=REDO)
    assert not checkpoint.exists()


def test_a_redo_behind_a_stage_that_is_too_silent_forgets_nothing(tmp_path):
    config = Config.parse(SMALL)
    made(tmp_path, config, *WHOLE)
    finished_policy(tmp_path, abstained_share=0.3)
    with pytest.raises(TooManyAbstentions, match="policy: 30% of the comparisons of checkpoints"):
        running.redo(tmp_path, config, "evaluate")
    assert (tmp_path / "evaluation").exists()
    assert (tmp_path / "report.html").exists()


def test_a_receipt_with_another_hash_of_a_file_or_with_none_is_stale(write, tmp_path):
    source = str(write("asked.jsonl", [{"prompt": f"Say {n}."} for n in range(8)]))
    config = Config.parse({**SMALL, "prompts": {"source": source}})
    made(tmp_path, config, "prompts")
    path = tmp_path / "receipts" / "prompts.json"
    receipt = json.loads(path.read_text())
    receipt["settings"]["files"][source] = "0" * 64
    path.write_text(json.dumps(receipt))
    assert states(tmp_path, config)["prompts"] == "stale"
    del receipt["settings"]["files"]
    path.write_text(json.dumps(receipt))
    assert states(tmp_path, config)["prompts"] == "stale"


def test_labels_redone_with_another_preamble_report_the_price_of_their_own_calls_alone(
    write, server, tmp_path
):
    rows = [{"prompt": f"Say {n}.", "responses": ["Yes.", f"No {n}."]} for n in range(4)]
    judge = {"kind": "remote", "model": "m", "base_url": server.url, "price": [1000, 1000]}
    server.answer = lambda body, n: server.top({"1": 0.7, "2": 0.2})  # ten tokens: a cent
    run = tmp_path / "run"
    asked = []
    for preamble in ("base", "detailed", "base"):
        labeling = {"pairs": str(write("p.jsonl", rows)), "labeler": {"preamble": preamble}}
        config = Config.parse({**SMALL, "judge": judge, "labeling": labeling})
        if asked:
            running.redo(run, config, "label")
        else:
            running.run_stage(run, config, "prompts")
        cost = running.run_stage(run, config, "label").cost
        asked.append(len(server.calls))
        assert (cost["calls"], cost["usd"]) == (8, pytest.approx(0.08)), preamble
    assert asked == [8, 16, 16]


def test_of_settings_changed_by_hand_the_stage_that_they_belong_to_is_stale_and_says_why(tmp_path):
    made(tmp_path, Config.parse(SMALL), *WHOLE)
    changed = Config.parse({**SMALL, "reward": {"epochs": 7}})
    assert [name for name, how in states(tmp_path, changed).items() if how == "stale"] == ["reward"]
    how, why = standing(tmp_path, stage_of(changed, "reward"), changed)
    assert how == "stale"
    assert "reward.epochs = 1, now 7" in why
    assert "--redo reward" in why
    (tmp_path / "preferences.jsonl").write_text("others\n")
    assert states(tmp_path, Config.parse(SMALL))["reward"] == "stale"


def test_a_first_start_that_failed_having_made_nothing_binds_to_nothing(tmp_path):
    wrong = Config.parse({**SMALL, "prompts": {"source": "PAIRS.jsonl"}})
    with pytest.raises(Exception, match=r"prompts\.source: PAIRS\.jsonl: no such file"):
        running.run_stage(tmp_path, wrong, "prompts")
    assert read_receipt(tmp_path, "prompts").begun
    right = Config.parse(SMALL)
    refuse_changed(tmp_path, right)
    done = running.run_stage(tmp_path, right, "prompts")
    assert done.counts["train"] == 4
    assert done.settings["prompts"]["source"] == "starter"


def test_an_attempt_that_left_one_row_goes_on_and_is_bound_to_its_settings(tmp_path):
    config = Config.parse({**SMALL, "sft": None})
    made(tmp_path, config, "prompts", "responses")
    stage = stage_of(config, "label")
    told = {"settings": stage.fingerprint(config), "inputs": digests(tmp_path, stage.reads)}
    begin(tmp_path, Receipt(stage="label", command="the first", **told))
    other = Config.parse({**SMALL, "sft": None, "labeling": {"limit": 3}})
    partial = tmp_path / "preferences.jsonl.partial"
    partial.touch()
    assert held(tmp_path, stage, other) is None
    partial.write_text("{}\n")
    assert held(tmp_path, stage, config).command == "the first"
    assert standing(tmp_path, stage, config) == ("begun", "")
    assert standing(tmp_path, stage, other)[0] == "stale"
    with pytest.raises(StaleRunError, match=r"label was begun with labeling\.limit = None, now 3"):
        refuse_changed(tmp_path, other)


def test_what_only_the_evaluation_measures_leaves_the_policy_good_and_its_judge_does_not(
    write, tmp_path, tiny_model
):
    ratings = str(write("ratings.jsonl", [{"level": 4}]))
    toxic = {"check": "harmless", "source": str(write("people.jsonl", [{"text": "All are"}]))}
    both = {"satisfaction": {"ratings": ratings}, "toxicity": toxic}
    config = Config.parse(SMALL)
    made(tmp_path, config, *WHOLE)
    for more in (both, {"basic_labels": 3, "best_of": 2, "sampling": {"max_tokens": 9}}):
        measured = Config.parse({**SMALL, "evaluation": more})
        found = states(tmp_path, measured)
        assert [name for name, how in found.items() if how == "stale"] == ["evaluate"]
    for changed in (
        {"judge": OTHER},
        {"judge": f"local:{tiny_model}"},
        {"labeler": {"shots": 1}},
    ):
        assert states(tmp_path, Config.parse({**SMALL, "evaluation": changed}))["policy"] == "stale"


def test_a_price_and_more_time_for_a_remote_judge_leave_all_eight_stages_done(tmp_path):
    judge = {"kind": "remote", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    panel = {"kind": "panel", "others": [judge | {"model": "n"}]}

    def asking(**more):
        others = [other | more for other in panel["others"]]
        asked = {"labeler": {**panel, "others": others}}
        return Config.parse({**SMALL, "judge": judge | more, "labeling": asked})

    made(tmp_path, asking(), *WHOLE)
    named = {"price": [2, 8], "timeout": 900, "max_retries": 9, "key_variable": "OTHER_KEY"}
    assert set(states(tmp_path, asking(**named)).values()) == {"done"}
    refuse_changed(tmp_path, asking(**named))
    with pytest.raises(StaleRunError, match=r"prompts was begun with judge.votes = 5, now 3"):
        refuse_changed(tmp_path, asking(**named, votes=3))


def test_a_source_that_is_not_found_from_another_folder_is_named_with_it_and_not_to_be_redone(
    write, tmp_path, monkeypatch
):
    write("asked.jsonl", [{"prompt": f"Say {n}."} for n in range(8)])
    config = Config.parse({**SMALL, "prompts": {"source": "asked.jsonl"}})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run" / "below").mkdir(parents=True)
    run = tmp_path / "run"
    made(run, config, *WHOLE)
    monkeypatch.chdir(run / "below")
    how, why = standing(run, stage_of(config, "prompts"), config)
    assert how == "stale"
    assert why == (
        f"asked.jsonl is not there, seen from {run / 'below'}: go to the folder where prompts was "
        "begun, or put it back"
    )
    with pytest.raises(StaleRunError, match=r"prompts.source = 'asked.jsonl', now 'other'.*--redo"):
        refuse_changed(run, Config.parse({**SMALL, "prompts": {"source": "other"}}))
    monkeypatch.chdir(tmp_path)
    assert set(states(run, config).values()) == {"done"}


def test_weights_of_the_judge_who_chooses_a_checkpoint_are_part_of_the_policy(tmp_path):
    weights = tmp_path / "judge"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"one")
    config = Config.parse({**SMALL, "evaluation": {"judge": f"local:{weights}"}})
    run = tmp_path / "run"
    run.mkdir()
    made(run, config, *WHOLE)
    assert states(run, config)["policy"] == "done"
    (weights / "model.safetensors").write_bytes(b"two")
    assert states(run, config)["policy"] == "stale"


@pytest.mark.parametrize(("category", "kept"), [("math", True), (None, False)])
def test_another_judge_leaves_prompts_good_where_none_of_eight_needed_a_category(
    category, kept, write, tmp_path
):
    rows = [{"id": f"p{n}", "prompt": f"Say {n}.", "category": category} for n in range(8)]
    source = {"source": str(write("asked.jsonl", rows)), "validation": 2, "test": 2}
    run = tmp_path / "run"
    config = Config.parse({"prompts": source, "judge": ONE})
    receipt = running.run_stage(run, config, "prompts")
    assert receipt.counts["without_category"] == (0 if kept else 8)
    other = Config.parse({"prompts": source, "judge": OTHER})
    assert standing(run, stage_of(other, "prompts"), other)[0] == ("done" if kept else "stale")
    seeded = Config.parse({"prompts": source, "judge": ONE, "seed": 1})
    assert standing(run, stage_of(seeded, "prompts"), seeded)[0] == "stale"


@pytest.mark.parametrize(
    ("sft", "teacher", "kept"),
    [
        ({}, ONE, True),  # a teacher of its own wrote them
        ({}, None, False),  # the judge wrote them
        ({"best_of": 4, "temperature": 1.0}, ONE, False),  # the judge chose among them
        ({"source": "references"}, None, True),
    ],
)
def test_another_judge_leaves_demonstrations_good_that_it_neither_wrote_nor_graded(
    sft, teacher, kept, tmp_path, tiny_model
):
    how = {**SMALL, "sft": sft, "teacher": teacher, "judge": f"local:{tiny_model}"}
    config, other = Config.parse(how), Config.parse({**how, "judge": OTHER})
    made(tmp_path, config, "prompts", "sft")
    stage = stage_of(other, "sft")
    assert ("judge" in stage.fingerprint(other)) is not kept
    assert standing(tmp_path, stage, other)[0] == ("done" if kept else "stale")


def test_where_the_judge_is_asked_no_more_the_setting_that_made_it_so_is_named(tmp_path):
    how, sampled = {**SMALL, "teacher": ONE}, {"temperature": 1.0}
    made(tmp_path, Config.parse({**how, "sft": {**sampled, "best_of": 4}}), "prompts", "sft")
    now = Config.parse({**how, "sft": {**sampled, "best_of": 1}})
    told = standing(tmp_path, stage_of(now, "sft"), now)[1]
    assert told.startswith("sft was begun with sft.best_of = 4, now 1: set it back")


def test_too_many_abstentions_of_a_hybrid_run_name_the_file_that_they_are_in(tmp_path):
    config = Config.parse({**SMALL, "sft": None, "labeling": {"labeler": "hybrid"}})
    made(tmp_path, config, "prompts", "responses")
    made(tmp_path, config, "label", abstained_share=0.25)
    assert "verdicts.jsonl" in stage_of(config, "label").writes
    with pytest.raises(TooManyAbstentions, match="25% of the comparisons") as told:
        running.run(tmp_path, config, until="label")
    assert f"see {tmp_path / 'abstentions.jsonl'}, then" in str(told.value)


@pytest.mark.parametrize(
    ("stage", "share", "told"),
    [
        ("sft", 0.5, "sft: 50% of the prompts have no answer of the teacher, .*teacher_answers"),
        ("responses", 0.3, "responses: 30% of the responses are missing, .*responses.jsonl"),
        ("redteam", 0.4, "redteam: 40% of the attempts have no verdict, .*redteam/figures.json"),
    ],
)
def test_a_model_that_answers_too_few_prompts_stops_the_run(tmp_path, stage, share, told):
    config = Config.parse({**SMALL, "redteam": {}} if stage == "redteam" else SMALL)
    before = [one.name for one in stages(config)]
    made(tmp_path, config, *before[: before.index(stage)])
    made(tmp_path, config, stage, abstained_share=share)
    with pytest.raises(TooManyAbstentions, match=told):
        running.run(tmp_path, config, until=stage)
