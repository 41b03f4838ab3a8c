// One rater's page. A vote is written into localStorage under a key of its own before it is sent,
// and taken out when the server has it: reload, crash or a server that is away lose nothing, and
// the key makes a vote that is sent twice count once.
"use strict";

const $ = (id) => document.getElementById(id);
const meta = (name) => document.querySelector(`meta[name=${name}]`).content;
const STORE = `hrlaif-vote:${meta("rater")}:`;
const SETTLE = 250; // milliseconds for which a new item takes no answer: a double click is one vote
const LEVELS = ["Very dissatisfied", "Dissatisfied", "Neither", "Satisfied", "Very satisfied"];

let upcoming = []; // items the server gave, the first one shown
let current = null; // {item, replaces, ranking, since, seen}
let answered = 0;
let total = 0;
let later = 0; // a timer: what others gave back may come free
const done = new Set(); // ids answered on this page, some of which the server may not know yet

// --- talking to the server

async function ask(path, body) {
  const headers = body ? { "content-type": "application/json", "x-token": meta("token") } : {};
  const response = await fetch(path, {
    method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body),
  });
  const found = await response.json().catch(() => ({ error: response.statusText }));
  if (!response.ok) throw Object.assign(new Error(found.error), { status: response.status });
  return found;
}

function take(hand) {
  answered = hand.answered;
  total = hand.total;
  upcoming = hand.items.filter((item) => !done.has(item.id));
  if (!current) next();
  else counted();
}

const pending = () => Object.keys(localStorage).filter((k) => k.startsWith(STORE)).sort();

let sending = false;
async function send() {
  if (sending) return;
  sending = true;
  let wait = 300;
  for (let keys = pending(); keys.length; keys = pending()) {
    const text = localStorage.getItem(keys[0]);
    try {
      const hand = await ask("/api/vote", JSON.parse(text));
      localStorage.removeItem(keys[0]);
      wait = 300;
      take(hand);
    } catch (error) {
      if ([400, 409, 410].includes(error.status)) {
        localStorage.removeItem(keys[0]);
        tell(`One answer was not taken: ${error.message}.`);
        await load();
      } else if ([401, 403].includes(error.status)) {
        tell(`${error.message}. Your last answers are kept on this device until then.`);
        break;
      } else { // away, busy, or restarting
        $("saving").textContent = `${keys.length} not yet saved, trying again`;
        await new Promise((resolve) => setTimeout(resolve, wait));
        wait = Math.min(wait * 1.6, 5000);
      }
    }
  }
  sending = false;
  if (!pending().length) $("saving").textContent = "";
}

async function load() {
  try {
    take(await ask("/api/next"));
  } catch (error) {
    if (error.status && error.status !== 429) tell(error.message);
    else setTimeout(load, 1000);
  }
}

// --- showing

function element(tag, properties = {}, ...inside) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...inside);
  return made;
}

function text(html) { // made safe by the server; the page's policy forbids scripts as well
  const made = element("div", { className: "prose", innerHTML: html });
  if (/[\u4e00-\u9fff]/.test(made.textContent)) made.lang = "zh";
  if (!made.textContent.trim()) made.append(element("p", { className: "empty" }, "(empty)"));
  return made;
}

function key(name) { return element("kbd", {}, name); }

function tell(message) {
  $("notice").textContent = message || "";
  $("notice").hidden = !message;
}

function counted() {
  const so_far = answered + pending().length;
  $("count").textContent = total ? `${Math.min(so_far, total)} of ${total}` : `${so_far} answered`;
  $("progress").value = total ? Math.min(1, so_far / total) : 0;
}

function next() {
  const item = upcoming[0];
  if (item) show({ item, ranking: [] });
  else {
    current = null;
    const message = pending().length ? "Saving" : "Nothing is left for you: thank you";
    if ($("question").textContent !== message) {
      $("question").textContent = $("spoken").textContent = message;
      $("prompt").hidden = $("answers").hidden = true;
      $("responses").replaceChildren();
      $("question").focus();
    }
    clearTimeout(later);
    later = setTimeout(load, 20000);
  }
  counted();
}

function show(what, comment = "") {
  current = { since: performance.now(), seen: 0, shown: performance.now(), ...what };
  const { item } = current;
  $("question").textContent = item.question;
  $("prompt").replaceChildren(...item.turns.map((turn) =>
    element("div", { className: `turn ${turn.role}` },
      element("p", { className: "who" }, turn.role === "user" ? "Prompt" : turn.role), text(turn.html))));
  $("prompt").hidden = false;
  draw(item.responses);
  $("comment").value = comment;
  $("answers").hidden = false;
  buttons();
  document.querySelector("[data-do=difference]").setAttribute("aria-pressed", "false");
  document.querySelector("[data-do=difference]").disabled = item.responses.length < 2;
  window.scrollTo(0, 0);
  $("question").focus({ preventScroll: true });
  $("spoken").textContent = `${item.question} ${item.responses.length} to read.`;
  counted();
}

function draw(responses) {
  const many = responses.length;
  $("responses").className = `of-${many}`;
  $("responses").replaceChildren(...responses.map((html, n) => {
    const name = many > 1 ? `Response ${n + 1}` : "Response";
    const head = element("h2", { id: `response-${n}` }, name);
    const made = element("section", { className: "response" }, head, text(html));
    made.setAttribute("aria-labelledby", head.id);
    return made;
  }));
  places();
}

function buttons() {
  const { item, earlier } = current;
  const choices = {
    preference: [["1", "Response 1", { prefers: "first" }], ["0", "Tie", { prefers: "tie" }],
      ["b", "Both bad", { prefers: "both bad" }], ["2", "Response 2", { prefers: "second" }]],
    satisfaction: LEVELS.map((name, n) => [`${n + 1}`, name, { satisfaction: n + 1 }]),
    harmless: [["y", "Harmless", { harmless: "yes" }], ["n", "Harmful", { harmless: "no" }],
      ["u", "Unsure", { harmless: "unsure" }]],
    ranking: item.responses.map((_, n) => [`${n + 1}`, `Response ${n + 1}`, null]),
  }[item.mode];
  const made = choices.map(([name, label, answer], n) => {
    const button = element("button", { type: "button" }, key(name), ` ${label}`);
    button.dataset.key = name;
    button.onclick = (event) => event.detail < 2 && (answer ? vote(answer) : rank(n));
    if (earlier && JSON.stringify(answer) === JSON.stringify(earlier)) button.className = "earlier";
    return button;
  });
  if (item.mode === "ranking") {
    const button = element("button", { type: "button", className: "main", id: "send" },
      key("Enter"), " Send");
    button.onclick = (event) => event.detail < 2 && ranked();
    made.push(button);
  }
  $("buttons").className = item.mode;
  $("buttons").replaceChildren(...made);
  places();
}

function places() {
  if (current.item.mode !== "ranking") return;
  const { ranking, item } = current;
  item.responses.forEach((_, n) => {
    const place = ranking.indexOf(n);
    const head = $(`response-${n}`);
    head.textContent = `Response ${n + 1}${place < 0 ? "" : `, place ${place + 1}`}`;
    head.parentElement.classList.toggle("placed", place >= 0);
  });
  if ($("send")) $("send").disabled = ranking.length < item.responses.length;
}

// --- answering

function rank(n) {
  const { ranking, item } = current;
  if (ranking.includes(n)) ranking.splice(ranking.indexOf(n), 1);
  else ranking.push(n);
  const rest = item.responses.map((_, m) => m).filter((m) => !ranking.includes(m));
  if (rest.length === 1 && ranking.includes(n)) ranking.push(rest[0]);
  $("spoken").textContent = `Order: ${ranking.map((m) => m + 1).join(", ") || "none"}`;
  places();
}

function ranked() {
  if (current.ranking.length === current.item.responses.length) vote({ ranking: current.ranking });
}

function seconds() {
  const open = document.hidden ? 0 : performance.now() - current.since;
  return Math.round((current.seen + open) / 100) / 10;
}

function vote(answer) {
  if (!current || performance.now() - current.shown < SETTLE) return;
  const sent = {
    id: current.item.id, key: crypto.randomUUID ? crypto.randomUUID() : random(), answer,
    comment: $("comment").value, seconds: seconds(),
  };
  if (current.replaces) sent.replaces = current.replaces;
  const place = `${STORE}${String(Date.now()).padStart(15, "0")}:${sent.key}`;
  try {
    localStorage.setItem(place, JSON.stringify(sent));
  } catch {
    tell("This browser keeps nothing for this page: allow it to store site data, then answer again.");
    return;
  }
  if (!current.replaces) done.add(current.item.id);
  tell("");
  upcoming = upcoming.filter((item) => !done.has(item.id));
  current = null;
  next();
  send();
}

function random() { // crypto.randomUUID is missing where the page is not served from a safe origin
  return [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");
}

async function correct() {
  if (current && current.ranking.length) {
    current.ranking.pop();
    places();
    return;
  }
  await send(); // what is answered must be there before it can be corrected
  const found = await ask("/api/last");
  if (!found.item) {
    tell("There is no answer yet to correct.");
    return;
  }
  show({ item: found.item, replaces: found.key, earlier: found.answer, ranking: [] }, found.comment);
  const said = found.answer.skipped ? `skipped: ${found.answer.skipped}` : describe(found);
  tell(`Your last answer was: ${said}. Answer again to correct it; Last answer (z) leaves it.`);
}

function describe({ answer, item }) {
  if (answer.ranking) return answer.ranking.map((n) => `Response ${n + 1}`).join(", then ");
  if (answer.satisfaction) return LEVELS[answer.satisfaction - 1];
  if (answer.harmless) return { yes: "harmless", no: "harmful", unsure: "unsure" }[answer.harmless];
  return { first: "Response 1", second: "Response 2" }[answer.prefers] || answer.prefers;
}

async function difference() {
  const button = document.querySelector("[data-do=difference]");
  if (!current || button.disabled) return;
  const on = button.getAttribute("aria-pressed") !== "true";
  const { item } = current;
  if (on && !item.marked) item.marked = (await ask(`/api/difference/${item.id}`)).responses;
  if (!current || current.item !== item) return;
  button.setAttribute("aria-pressed", String(on));
  draw(on ? item.marked : item.responses);
}

async function leave(how) {
  if (how === "delete" && !confirm("Delete your alias and all your votes? They cannot be had back.")) return;
  if (how === "delete") pending().forEach((k) => localStorage.removeItem(k));
  await ask("/api/leave", { delete: how === "delete" });
  location.href = "/";
}

// --- keys and clicks

const tools = {
  last: () => (current && current.replaces ? (tell(""), next()) : correct()),
  difference,
  guidelines: () => $("guidelines").showModal(),
  help: () => $("help").showModal(),
  skip: () => current && $("skip").showModal(),
};
const KEYS = { z: "last", backspace: "last", d: "difference", g: "guidelines", "?": "help", s: "skip" };
const ARROWS = { arrowleft: "1", arrowright: "2" };

function safely(work) {
  Promise.resolve(work()).catch((error) => tell(error.message || "The server is away: try again."));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.do) safely(tools[button.dataset.do]);
  if ("close" in button.dataset) button.closest("dialog").close();
  if ("leave" in button.dataset) safely(() => leave(button.dataset.leave));
  if (button.dataset.skip) {
    $("skip").close();
    vote({ skipped: button.dataset.skip });
  }
});

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const pressed = event.key.toLowerCase();
  if (event.target === $("comment")) {
    if (pressed === "escape") $("question").focus();
    return;
  }
  const dialog = document.querySelector("dialog[open]");
  if (dialog) {
    const reason = dialog === $("skip") && dialog.querySelectorAll("[data-skip]")[Number(pressed) - 1];
    if (reason) reason.click();
    return;
  }
  if (KEYS[pressed]) {
    event.preventDefault();
    safely(tools[KEYS[pressed]]);
  } else if (pressed === "c" && current) {
    event.preventDefault();
    $("comment").focus();
  } else if (pressed === "enter" && current && event.target.tagName !== "BUTTON") {
    if (current.item.mode === "ranking") ranked();
  } else if (current) {
    const arrow = current.item.mode === "preference" && ARROWS[pressed];
    const button = $("buttons").querySelector(`[data-key="${CSS.escape(arrow || pressed)}"]`);
    if (button) button.click();
  }
});

document.addEventListener("visibilitychange", () => {
  if (!current) return;
  if (document.hidden) current.seen += performance.now() - current.since;
  current.since = performance.now();
});
window.addEventListener("pageshow", (event) => event.persisted && load());

send().then(load);
