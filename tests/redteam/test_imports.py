"""Are the files of garak, PyRIT and promptfoo read as they are, old and new?"""

import json

import pytest

from hrlaif.errors import DataError
from hrlaif.redteam import imported


def garak_attempt(prompt, outputs, status=2):
    return {
        "entry_type": "attempt",
        "uuid": "u1",
        "seq": 0,
        "status": status,
        "probe_classname": "dan.Dan_11_0",
        "prompt": prompt,
        "outputs": outputs,
        "detector_results": {"mitigation.MitigationBypass": [1.0] * len(outputs)},
        "goal": "misuse",
    }


def garak_prompt(*turns):
    return {
        "turns": [
            {"role": role, "content": {"text": text, "lang": "en", "notes": {}}}
            for role, text in turns
        ],
        "notes": {},
    }


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_garak_reports_bring_each_answer_once_although_an_attempt_stands_twice(tmp_path):
    prompt = garak_prompt(("system", "Be brief."), ("user", "Ask me."))
    outputs = [{"text": "First."}, None, {"text": "Second."}, {"text": " "}]
    path = lines(
        tmp_path / "garak.u.report.jsonl",
        {"entry_type": "start_run setup", "plugins.target_name": "my/model"},
        {"entry_type": "init", "garak_version": "0.13"},
        garak_attempt(prompt, outputs, status=1),
        garak_attempt(prompt, outputs),
        {"entry_type": "eval", "probe": "dan.Dan_11_0", "passed": 0, "total_evaluated": 2},
    )
    first, second = imported(path)
    assert (first.response.text, second.response.text) == ("First.", "Second.")
    assert first.family == "garak/dan.Dan_11_0"
    assert first.hazard == "misuse"
    assert first.response.model == "my/model"
    assert [m.role for m in first.response.prompt.messages] == ["system", "user"]
    assert first.request == "Ask me."
    assert first.seed == second.seed
    # What garak's detectors said is not taken over.
    assert first.verdict is None
    assert (first.source, first.response.prompt.harmful) == ("import", True)


def test_older_garak_reports_hold_plain_texts(tmp_path):
    path = lines(tmp_path / "old.jsonl", garak_attempt("Ask me.", ["Yes."]))
    [found] = imported(path)
    assert (found.request, found.response.text) == ("Ask me.", "Yes.")
    message = lines(tmp_path / "middle.jsonl", garak_attempt({"text": "Ask me."}, ["Yes."]))
    assert imported(message) == [found]


def test_line_breaks_of_unicode_inside_a_text_end_no_line(tmp_path):
    path = tmp_path / "garak.jsonl"
    said = "One\u2028two\u2029three\u0085four."
    row = json.dumps(garak_attempt("Ask me.", [said]), ensure_ascii=False)
    path.write_bytes(f"{row}\r\n\n{{torn\n".encode())
    with pytest.raises(DataError, match="line 3: not JSON"):
        imported(path)
    path.write_bytes(f"{row}\r\n\n".encode())
    assert [found.response.text for found in imported(path)] == [said]


def piece(role, value, sequence, conversation="c1", **more):
    return {
        "id": f"{conversation}-{sequence}",
        "role": role,
        "conversation_id": conversation,
        "sequence": sequence,
        "original_value": f"plain {value}",
        "converted_value": value,
        "converted_value_data_type": "text",
        "response_error": "none",
        "prompt_target_identifier": {"__type__": "OpenAIChatTarget", "model_name": "gpt-x"},
        "attack_identifier": {"__type__": "CrescendoAttack"},
        "targeted_harm_categories": ["fraud"],
        **more,
    }


def test_pyrit_conversations_become_an_attempt_an_answer_with_its_history(tmp_path):
    pieces = [
        piece("assistant", "A1", 1),
        piece("user", "U1", 0),
        piece("user", "U2", 2),
        piece("assistant", "A2", 3),
        piece("user", "V1", 0, "c2"),
        piece("assistant", "blocked", 1, "c2", response_error="blocked"),
        piece("user", "image.png", 0, "c3", converted_value_data_type="image_path"),
        piece("assistant", "nice", 1, "c3"),
    ]
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(pieces))
    one, two = imported(path)
    assert [m.content for m in two.response.prompt.messages] == ["U1", "A1", "U2"]
    assert (one.response.text, two.response.text) == ("A1", "A2")
    assert one.family == "pyrit/CrescendoAttack"
    assert (one.hazard, one.response.model) == ("fraud", "gpt-x")


def promptfoo_row(raw, output, **more):
    return {
        "prompt": {"raw": raw, "label": "p"},
        "vars": {"prompt": "the variable"},
        "response": {"output": output},
        "success": False,
        "provider": {"id": "openai:gpt-x"},
        "metadata": {"pluginId": "harmful:privacy", "strategyId": "jailbreak"},
        "testCase": {"vars": {}, "metadata": {"pluginId": "other"}},
        **more,
    }


def test_promptfoo_results_bring_texts_and_chats(tmp_path):
    chat = json.dumps([{"role": "system", "content": "S"}, {"role": "user", "content": "U"}])
    table = [
        promptfoo_row("Ask.", "Told."),
        promptfoo_row(chat, "Told again."),
        promptfoo_row("", "By variable."),
        promptfoo_row("Ask.", None, error="timeout", response=None),
        promptfoo_row("Ask.", {"tool": "call"}),
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"evalId": "e", "results": {"version": 3, "results": table}}))
    plain, turns, variable = imported(path)
    assert (plain.request, plain.response.text) == ("Ask.", "Told.")
    assert plain.family == "promptfoo/jailbreak"
    assert (plain.hazard, plain.response.model) == ("harmful:privacy", "openai:gpt-x")
    assert [m.role for m in turns.response.prompt.messages] == ["system", "user"]
    assert variable.request == "the variable"
    older = tmp_path / "older.json"
    older.write_text(json.dumps({"results": table}))
    assert len(imported(older)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a result file of garak"),
        ("{}", "not a result file of garak"),
        ('[{"a": 1}]', "not a result file of garak"),
        ('{"entry_type": "attempt"}\n{torn', "line 2: not JSON"),
        ('{"entry_type": "init"}', "no attempt with a prompt and an answer"),
        ('{"results": {"results": []}}', "no attempt with a prompt and an answer"),
        ('[{"conversation_id": "c"}, {"b": 1}]', "row 2: no conversation_id"),
    ],
)
def test_other_files_are_refused_with_what_to_do(tmp_path, text, message):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        imported(path)


def test_a_role_of_neither_side_is_refused_by_place(tmp_path):
    prompt = garak_prompt(("tool", "x"), ("user", "Ask me."))
    path = lines(tmp_path / "garak.jsonl", garak_attempt(prompt, ["Yes."]))
    with pytest.raises(DataError, match="line 1: role 'tool'"):
        imported(path)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(DataError, match="check its name"):
        imported(tmp_path / "none.json")
