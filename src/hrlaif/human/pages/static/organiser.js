// The organiser's page: figures that renew themselves, raters and their links, import.
"use strict";

const $ = (id) => document.getElementById(id);
const TOKEN = document.querySelector("meta[name=token]").content;

async function ask(path, body, json = true) {
  const headers = { "x-token": TOKEN, ...(json && body ? { "content-type": "application/json" } : {}) };
  const response = await fetch(path, {
    method: body ? "POST" : "GET", headers, body: json && body ? JSON.stringify(body) : body,
  });
  const found = await response.json().catch(() => ({ error: response.statusText }));
  if (!response.ok) throw new Error(found.error);
  return found;
}

function tell(message) {
  $("notice").textContent = message;
  $("notice").hidden = !message;
}

function cell(value, number = true) {
  const made = document.createElement("td");
  made.className = number ? "n" : "";
  made.append(value);
  return made;
}

function row(...cells) {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
}

function fact(name, value) {
  const made = document.createElement("div");
  made.append(Object.assign(document.createElement("dt"), { textContent: name }),
    Object.assign(document.createElement("dd"), { textContent: value }));
  return made;
}

const share = ([some, all]) => (all ? `${some} of ${all}` : "");
const MEASURES = { kappa: "Fleiss' kappa", alpha: "Krippendorff's alpha", w: "Kendall's W", judge: "same as the AI judge" };

function button(label, work) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: label });
  made.onclick = () => work().catch((error) => tell(error.message));
  return made;
}

function link(alias, path) {
  $("made").replaceChildren(`${alias}: `, Object.assign(document.createElement("code"), { textContent: location.origin + path }));
  $("made").hidden = false;
}

async function forget(rater, keep) {
  const what = keep ? "Forget who this was, and keep the votes" : "Delete this rater and all votes";
  if (!confirm(`${what}: ${rater.rater}?`)) return;
  await ask("/organiser/forget", { id: rater.id, keep_votes: keep });
  await renew();
}

function person(rater) {
  const tools = document.createElement("td");
  tools.className = "tools";
  tools.append(
    button("Link", async () => link(rater.rater, (await ask("/organiser/link", { id: rater.id })).link)),
    button("Forget name", () => forget(rater, true)),
    button("Delete", () => forget(rater, false)));
  const none = [0, 0];
  return row(cell(rater.rater, false), cell(`${rater.answered}`), cell(`${rater.skipped || 0}`),
    cell(rater.seconds == null ? "" : `${rater.seconds}`), cell(share(rater.checks || none)),
    cell(share(rater.same_again || none)), cell(share(rater.left || none)),
    cell(share(rater.with_others || none)), tools);
}

async function renew() {
  const found = await ask("/organiser/overview");
  $("facts").replaceChildren(
    fact("Answers", `${found.answers} of ${found.wanted}`),
    fact("Items with all answers", `${found.whole} of ${found.items}`),
    fact("In the last 5 minutes", `${found.last_minutes}`),
    fact("Seconds an item", found.seconds == null ? "unknown" : found.seconds.toFixed(1)),
    fact("Skipped", `${found.skipped}`),
    fact("Comments", `${found.comments}`));
  $("progress").value = found.wanted ? Math.min(1, found.answers / found.wanted) : 0;
  const lines = Object.entries(found.agreement).flatMap(([question, measures]) =>
    Object.entries(measures).filter(([, figure]) => figure.n).map(([name, figure]) =>
      row(cell(question, false), cell(MEASURES[name], false),
        cell(figure.value == null ? "unknown" : figure.value.toFixed(3)),
        cell(`${figure.n} ${name === "judge" ? "answers" : "items"}`))));
  $("agreement").replaceChildren(...lines);
  $("raters").replaceChildren(...found.raters.map(person));
}

$("invite").onsubmit = (event) => {
  event.preventDefault();
  ask("/organiser/invite", { alias: $("alias").value })
    .then((made) => { link(made.alias, made.link); $("alias").value = ""; tell(""); return renew(); })
    .catch((error) => tell(error.message));
};

$("import").onsubmit = (event) => {
  event.preventDefault();
  const file = $("file").files[0];
  ask(`/organiser/import?name=${encodeURIComponent(file.name)}`, file, false)
    .then((added) => {
      const silent = added.silent ? ` ${added.silent} rows hold no answer by people.` : "";
      tell(`${added.new} votes added, ${added.known} were there already.${silent}`);
      return renew();
    })
    .catch((error) => tell(error.message));
};

async function forever() {
  await renew().catch((error) => tell(error.message));
  setTimeout(forever, document.hidden ? 60000 : 5000);
}
forever();
