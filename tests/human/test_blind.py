"""Nothing that a rater's browser can fetch says which model wrote a text, or where it stood."""

import json
import re

SECRETS = ("secret", "source-row", "pairs.jsonl", "prob_a", "labeler", "category", "model-")
OPAQUE = re.compile(r"[A-Za-z0-9_-]{22}")


def everything(rater, site):
    """Every reply that a rater can get, errors and assets included."""
    replies = [rater.ask("GET", path) for path in ("/", "/vote", "/api/next", "/api/last")]
    replies.append(rater.ask("GET", re.search(r'href="(/r/[^"]+)"', replies[1].text)[1]))
    page = replies[1].text + replies[0].text
    assets = sorted({*re.findall(r"/static/[\w.]+", page), "/static/organiser.js"})
    replies += [rater.ask("GET", path) for path in assets]
    for _ in range(40):
        hand = rater.hand()
        if not hand["items"]:
            break
        item = hand["items"][0]
        replies.append(rater.ask("GET", f"/api/difference/{item['id']}"))
        replies.append(rater.vote(item["id"], {"prefers": "first"}))
        replies.append(rater.vote(item["id"], {"prefers": "second"}))  # refused: 409
        replies.append(rater.ask("GET", "/api/last"))
    for path in (
        "/organiser", "/organiser/overview", "/organiser/export?form=rows", "/nothing",
        "/api/difference/x", "/static/../votes.sqlite", "/static/%2e%2e/app.py",
    ):  # fmt: skip
        replies.append(rater.ask("GET", path))
    replies.append(rater.ask("POST", "/api/vote", {"id": "x"}))
    replies.append(rater.ask("POST", "/organiser/import?name=x.jsonl", "{}"))
    replies.append(site.visitor().ask("GET", "/api/next"))
    replies.append(rater.ask("POST", "/api/leave", {}))
    return replies


def test_no_reply_to_a_rater_holds_a_model_an_order_or_a_file(serve, pairs):
    site = serve(pairs, "--checks", 5, "--repeats", 5)
    replies = everything(site.visitor().join("ada"), site)
    assert len(replies) > 120
    assert {r.status for r in replies} >= {200, 400, 401, 403, 404, 409, 410}
    for reply in replies:
        told = json.dumps(reply.headers) + reply.text
        assert not [word for word in SECRETS if word in told.lower().replace("secret_", "")], told


def test_an_item_holds_texts_and_an_id_that_says_nothing(serve, pairs):
    site = serve(pairs)
    seen = {}
    for alias in ("ada", "bob"):
        rater = site.visitor().join(alias)
        for _ in range(30):
            hand = rater.hand()
            for item in hand["items"]:
                assert set(item) == {"id", "mode", "question", "turns", "responses"}
                assert OPAQUE.fullmatch(item["id"])
            item = hand["items"][0]
            seen.setdefault(item["turns"][0]["html"], set()).add(item["id"])
            rater.vote(item["id"], {"prefers": "tie"})
    assert len(seen) > 20
    assert max(map(len, seen.values())) >= 2  # the same item has another id for another rater


def test_checks_and_repeats_look_like_any_other_item(serve, pairs):
    site = serve(pairs, "--checks", 4, "--repeats", 4)
    rater = site.visitor().join("ada")
    shapes, texts, checks = set(), [], 0
    for _ in range(40):
        hand = rater.hand()
        if not hand["items"]:
            break
        item = hand["items"][0]
        checks += "each text is read" in str(item["responses"])
        texts.append(item["turns"][0]["html"])
        reply = rater.vote(item["id"], {"prefers": "tie"})
        shapes.add((tuple(sorted(reply.headers)), tuple(sorted(reply.json()))))
    assert checks >= 4
    assert len(texts) - len(set(texts)) >= 4
    assert len(shapes) == 1


def test_thoughts_are_shown_to_no_rater_and_stay_in_the_rows(serve, write):
    row = {"id": "r", "prompt": "One and one?", "a": {"model": "one"}, "b": {"model": "two"}}
    row["a"]["text"] = "<think>I am model-one, and secretive.</think>\n\nTwo."
    row["b"]["text"] = "<think>I am model-two, and never stop"
    given = write("thoughts.jsonl", [row])
    site = serve(given, "--checks", 0)
    rater = site.visitor().join("ada")
    (item,) = rater.hand()["items"]
    assert sorted(item["responses"]) == ["", "<p>Two.</p>\n"]
    marked = rater.ask("GET", f"/api/difference/{item['id']}").json()["responses"]
    empty, whole = '<div class="plain"></div>', '<div class="plain"><mark>Two.</mark></div>'
    assert sorted(marked) == [empty, whole]
    side = "first" if item["responses"][0] else "second"
    assert rater.vote(item["id"], {"prefers": side}).status == 200
    assert sorted(rater.ask("GET", "/api/last").json()["item"]["responses"]) == [
        "",
        "<p>Two.</p>\n",
    ]
    site.stop()
    kept = given.with_name("thoughts.votes") / "preferences.jsonl"
    found = json.loads(kept.read_text("utf-8"))
    assert (found["prob_a"], found["a"]["text"], found["b"]["text"]) == (
        1.0, row["a"]["text"], row["b"]["text"],
    )  # fmt: skip
