import asyncio
import http.client
import re
import time
from urllib.parse import urlsplit

import pytest

from hrlaif.errors import UsageError
from hrlaif.human.security import Buckets, Guard
from hrlaif.listening import listen


@pytest.fixture
def site(shared):
    return shared


def test_every_answer_forbids_scripts_of_others_frames_and_caching(site):
    rater = site.visitor().join()
    for path in ("/", "/vote", "/api/next", "/organiser", "/nothing"):
        headers = rater.ask("GET", path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
    for page in ("/", "/vote"):
        text = rater.ask("GET", page).text
        assert not re.findall(r"<script(?![^>]*src=)|style=|\son\w+=", text)
        assert not re.findall(r"(?:src|href)=\"(?!/)", text)  # nothing from elsewhere


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "", "localhost.evil:80"]
)
def test_another_host_name_is_refused(site, host):
    assert site.visitor().ask("GET", "/", host=host).status == 421


@pytest.mark.parametrize(
    ("origin", "host"),
    [("http://127.0.0.1:80", "127.0.0.1"), ("https://Vote.example:443", "vote.example")],
)
def test_the_port_that_browsers_leave_out_may_be_left_out(origin, host):
    def ask(method, **headers):
        async def site(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})

        guard = Guard(site, [origin], who=lambda _: None, buckets=Buckets(1.0, 9))
        given = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": "/", "headers": given}
        told = []

        async def send(message):
            told.append(message)

        async def receive():
            return {"type": "http.request", "body": b""}

        asyncio.run(guard(scope, receive, send))
        return told[0]["status"], told[-1].get("body", b"")

    scheme = origin.partition(":")[0]
    assert ask("GET", host=host)[0] == 200
    assert ask("POST", host=host, origin=f"{scheme}://{host}")[0] == 200
    assert ask("POST", host=host, origin=f"{scheme}://{host}:81")[0] == 403
    other = {"http": "https", "https": "http"}[scheme]
    assert ask("POST", host=host, origin=f"{other}://{host}")[0] == 403
    status, why = ask("GET", host="evil.example")
    assert status == 421
    assert b"--public-url and the address that your browser shows" in why


def test_a_vote_from_another_site_is_refused_and_so_is_one_without_the_pages_token(site):
    rater = site.visitor().join()
    item = rater.hand()["items"][0]["id"]
    body = {"id": item, "key": "k" * 16, "answer": {"prefers": "tie"}}
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{site.port + 1}"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"x_token": "0" * 32},
        {"x_token": ""},
    ):
        assert rater.ask("POST", "/api/vote", body, **headers).status == 403, headers
    text = '{"id": "x"}'
    assert rater.ask("POST", "/api/vote", text, content_type="text/plain").status == 415
    assert rater.hand()["answered"] == 0
    good = rater.ask("POST", "/api/vote", body, origin=site.url, sec_fetch_site="same-origin")
    assert good.status == 200


def test_the_token_of_one_rater_is_no_use_to_another(site):
    ada, bob = site.visitor().join(), site.visitor().join()
    item = bob.hand()["items"][0]["id"]
    bob.token = ada.token
    assert bob.vote(item, {"prefers": "tie"}).status == 403


@pytest.mark.parametrize("cookie", ["", "1.x.0", "1", "1.2.3.4", "a.b.c", "..", "1." + "é" * 3])
def test_a_forged_cookie_is_nobody(site, cookie):
    visitor = site.visitor().join()
    (name,) = visitor.cookies
    visitor.cookies = {name: cookie.encode().decode("latin1")}
    assert visitor.ask("GET", "/api/next").status == 401
    assert visitor.ask("GET", "/vote").status == 303


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(site):
    visitor = site.visitor()
    page = visitor.ask("GET", "/").text
    fields = {name: visitor.hidden(page, name) for name in ("form", "join")}
    cookie = visitor.form("/join", alias="a cookie's", **fields).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


def test_a_browser_is_a_rater_in_each_of_two_studies_on_one_host(site, serve, pairs):
    ada, other = site.visitor().join(), serve(pairs)
    before = ada.hand()["items"]
    elsewhere = other.visitor()
    elsewhere.cookies = ada.cookies  # of one jar, as browsers have it for all ports
    elsewhere.join("ada there")
    assert ada.hand()["items"] == before
    assert elsewhere.hand()["items"][0]["id"] not in {item["id"] for item in before}
    organiser = site.organiser()
    elsewhere.cookies = organiser.cookies
    parts = urlsplit(other.links["organiser"])
    assert elsewhere.ask("GET", f"{parts.path}?{parts.query}").status == 303
    assert organiser.ask("GET", "/organiser/overview").status == 200
    assert elsewhere.ask("GET", "/organiser/overview").status == 200


def test_a_link_signs_nobody_in_before_a_button_is_pressed(site):
    rater = site.visitor().join()
    link = re.search(r'href="(/r/[^"]+)"', rater.ask("GET", "/vote").text)[1]
    other = site.visitor()
    page = other.ask("GET", link)
    assert "Go on as " in page.text
    assert "set-cookie" not in page.headers
    fields = {name: other.hidden(page.text, name) for name in ("form", "session")}
    assert other.form("/begin", **fields).status == 303
    assert other.enter().hand()["items"][0]["id"] == rater.hand()["items"][0]["id"]
    assert site.visitor().ask("GET", link[:-1] + "0x").status == 404


def test_too_large_a_body_is_refused_whether_it_says_so_or_not(site):
    rater = site.visitor().join()
    item = rater.hand()["items"][0]["id"]
    assert rater.vote(item, {"prefers": "tie"}, comment="x" * 70_000).status == 413
    assert rater.vote(item, {"prefers": "tie"}, comment="x" * 4_001).status == 400
    chunks = (b"x" * 1000 for _ in range(200))
    connection = http.client.HTTPConnection("127.0.0.1", site.port)
    connection.request("POST", "/api/vote", chunks, encode_chunked=True,
                       headers={"transfer-encoding": "chunked"})  # fmt: skip
    assert connection.getresponse().status == 413
    connection.close()
    assert rater.vote(item, {"prefers": "tie"}, comment="x" * 4_000).status == 200


@pytest.mark.parametrize(
    "body",
    ["[]", "1", "null", "{", "[" * 10_000, '{"id": 1}', '{"id": "x", "key": "short"}',
     '{"id":"xxxxxxxxxxxxxxxxxxxxxx","key":"kkkkkkkkkkkkkkkk","answer":[]}',
     '{"id":"xxxxxxxxxxxxxxxxxxxxxx","key":"kkkkkkkkkkkkkkkk","answer":{},"seconds":NaN}',
     '{"id":"xxxxxxxxxxxxxxxxxxxxxx","key":"kkkkkkkkkkkkkkkk","answer":{},"seconds":1%s}'
     % ("0" * 400),
     '{"id":"xxxxxxxxxxxxxxxxxxxxxx","key":"kkkkkkkkkkkkkkkk","answer":{},"more":1}'],
)  # fmt: skip
def test_a_malformed_vote_is_a_400(site, body):
    rater = site.visitor().join()
    assert rater.ask("POST", "/api/vote", body, content_type="application/json").status == 400


def test_a_comment_with_half_a_character_or_a_nul_is_kept_as_text(site):
    rater = site.visitor().join()
    item = rater.hand()["items"][0]["id"]
    assert rater.vote(item, {"prefers": "tie"}, comment="a\ud83d b\0c").status == 200
    assert rater.ask("GET", "/api/last").json()["comment"] == "a? bc"


def test_a_flood_is_slowed_down_and_ends(serve, pairs):
    site = serve(pairs)
    flood = site.visitor()
    codes = [flood.ask("GET", "/nothing").status for _ in range(420)]
    assert codes[:200] == [404] * 200
    assert 429 in codes
    time.sleep(0.5)
    assert flood.ask("GET", "/nothing").status == 404


def test_a_bucket_lets_its_burst_through_and_then_its_rate():
    buckets = Buckets(2.0, 3)
    assert [buckets.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert [buckets.take("a", 0.6) for _ in range(2)] == [True, False]
    assert buckets.take("b", 0.6)
    assert [buckets.take("a", 100.0) for _ in range(4)] == [True, True, True, False]


def test_buckets_keep_no_more_names_than_allowed():
    buckets = Buckets(1.0, 1, names=10)
    for n in range(1000):
        buckets.take(str(n), 0.0)
    assert len(buckets._left) == 10


def test_twenty_wrong_tokens_are_enough(serve, pairs):
    site = serve(pairs)
    visitor = site.visitor()
    codes = [visitor.ask("GET", f"/organiser?token={n}").status for n in range(30)]
    assert codes[:20] == [403] * 20
    assert codes[-1] == 429


def test_the_organisers_pages_are_closed_to_raters(site):
    rater = site.visitor().join()
    for method, path in (
        ("GET", "/organiser"), ("GET", "/organiser/overview"),
        ("GET", "/organiser/export?form=csv"),
        ("POST", "/organiser/import?name=x.jsonl"), ("POST", "/organiser/invite"),
        ("POST", "/organiser/link"), ("POST", "/organiser/forget"),
    ):  # fmt: skip
        assert rater.ask(method, path, {} if method == "POST" else None).status == 403, path
    organiser = site.organiser()
    assert organiser.ask("GET", "/organiser/overview").status == 200
    organiser.token = rater.token
    assert organiser.ask("POST", "/organiser/invite", {"alias": "bob"}).status == 403


def test_elsewhere_than_on_this_machine_raters_need_a_link(serve, pairs):
    site = serve(pairs, "--host", "0.0.0.0")
    stranger = site.visitor()
    page = stranger.ask("GET", "/").text
    assert "open the link that the organiser gave you" in page
    parts = urlsplit(site.links["raters"])
    invited = stranger.ask("GET", f"/?{parts.query}").text
    form = {name: stranger.hidden(invited, name) for name in ("form", "join")}
    assert stranger.form("/join", alias="eve", form=form["form"], join="").status == 403
    assert stranger.form("/join", alias="ada", **form).status == 303
    _, told = site.stop()
    assert "raters need a link with a token" in told


@pytest.mark.parametrize("host", ["::1", "127.0.0.2", "localhost"])
def test_the_address_that_is_printed_is_the_one_that_answers(host, serve, pairs):
    try:
        listen(host, 0).close()
    except UsageError:
        pytest.skip(f"no {host} on this machine")
    told = urlsplit(serve(pairs, "--host", host).links["raters"])
    assert told.hostname == host
    connection = http.client.HTTPConnection(told.hostname, told.port, timeout=60)
    connection.request("GET", "/")  # with a Host header of that name
    assert connection.getresponse().status == 200
    connection.close()
