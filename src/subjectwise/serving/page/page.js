// The page: its form, its address, and what it shows of an answer. Knows /v1/classify and /v1/model.

import { Answer, difference, ranking } from "./answer.js";
import { $, copy, element, foldable, percent, say } from "./dom.js";
import { EXAMPLES, NO_SUBJECT } from "./examples.js";
import { showExplanation } from "./explanation.js";
import { setFacts, startFiles } from "./files.js";
import { showModel } from "./model.js";
import { ask, hasKey, setKey } from "./service.js";
import { addToSession, setTruth, startSession, truthOf } from "./session.js";
import { asCurl, asPython, fromAddress, requestBody, toAddress } from "./sharing.js";

const HINT = "Ctrl + Enter classifies.", SLOW = 400, COUNTED = 1000, FEW = 6;
let facts = null;
let shown = []; // the answers on the page, one or two
let latest = null; // the service's answer, for JSON
let request = null; // aborts the running one

// The form

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

function readForm() {
  const first = { text: $("question").value.trim(), options: lines($("options").value) };
  const second = $("second-box").hidden ? "" : $("second").value.trim();
  return [first, ...(second ? [{ text: second, options: [] }] : [])];
}

function fillForm({ text, options }, second = "") {
  $("question").value = text;
  $("options").value = options.join("\n");
  $("options-box").open = options.length > 0;
  $("second").value = second;
  showSecond(Boolean(second));
  onEdit();
}

function showSecond(visible) {
  $("second-box").hidden = !visible;
  $("compare").setAttribute("aria-expanded", String(visible));
  $("compare").textContent = visible ? "Only one" : "Compare two";
}

const sameQuestions = (one, other) => JSON.stringify(one) === JSON.stringify(other);

// An answer never stands under another question without saying so.
function onEdit() {
  const options = lines($("options").value).length;
  $("options-count").textContent = options ? `(${options})` : "";
  const letters = $("question").value.length, most = facts?.limits?.characters;
  $("counter").textContent = letters > COUNTED ? `${letters.toLocaleString("en")}${most ? ` of ${most.toLocaleString("en")}` : ""} characters` : "";
  const changed = shown.length > 0 && !sameQuestions(readForm(), shown.map((one) => one.question));
  say($("stale"), changed ? "You have changed the question; this is the answer to the one before." : "");
  $("result").classList.toggle("old", changed);
}

// Asking

// Shows how long an answer takes, where it is slow; returns what ends it.
function showWaiting() {
  const began = performance.now();
  let busy = "";
  const tick = () => {
    const seconds = Math.floor((performance.now() - began) / 1000);
    $("waiting").textContent = `${busy || "Classifying …"}${seconds ? ` ${seconds} s` : ""}`;
    $("cancel").hidden = false;
  };
  const slow = setTimeout(tick, SLOW), timer = setInterval(tick, 1000);
  return {
    onBusy: () => { busy = "The service is busy; waiting …"; tick(); },
    end: (isLatest) => {
      clearTimeout(slow);
      clearInterval(timer);
      if (!isLatest) return; // the next question is waited for
      $("waiting").textContent = HINT;
      $("cancel").hidden = true;
    },
  };
}

async function classify({ keepAddress = false } = {}) {
  const questions = readForm();
  if (!questions[0].text) {
    say($("problem"), "Type a question first.");
    $("question").focus();
    return;
  }
  say($("problem"), "");
  request?.abort();
  const own = request = new AbortController();
  if (!keepAddress) pushAddress(questions);
  $("result").classList.add("old");
  $("result").setAttribute("aria-busy", "true");
  const waiting = showWaiting();
  try {
    const body = { ...requestBody(questions), multi_label: true };
    const answer = await ask("v1/classify", body, { signal: own.signal, onBusy: waiting.onBusy });
    if (own !== request) return;
    latest = answer;
    showAnswers(questions, answer.results);
    for (const one of shown) explain(one, own);
  } catch (error) {
    if (own !== request) return;
    hideAnswers();
    if (error.name !== "AbortError") report(error, $("problem"));
  } finally {
    waiting.end(own === request);
    if (own === request) $("result").removeAttribute("aria-busy");
  }
}

// Says what went wrong; asks for a key where one is missing.
function report(error, where) {
  if (error.status !== 401) return say(where, error.message);
  $("key-form").hidden = false;
  say($("key-problem"), error.message);
  $("key").focus();
}

// Showing

const minimum = () => Number($("minimum").value) / 100;

function showAnswers(questions, results) {
  shown = questions.map((question, index) => {
    const answer = new Answer(question, facts, (one, truth) => setTruth(one.question, truth));
    answer.show(results[index], minimum(), truthOf(question));
    answer.find("write").addEventListener("click", () => writeSentence(answer));
    const [label, score] = ranking(results[index])[0];
    addToSession(question, { label, score, outside: answer.isOutside });
    return answer;
  });
  $("answers").replaceChildren(...shown.map((one) => one.node));
  say($("difference"), shown.length > 1 ? difference(...shown) : "");
  $("result").hidden = false;
  $("empty").hidden = true;
  $("announce").textContent = shown.map((one) => [one.verdict, one.find("notes").textContent].filter(Boolean).join(". ")).join("; ");
  onEdit();
  showSnippet();
  if ($("result").getBoundingClientRect().top > innerHeight - 120) $("result").scrollIntoView({ block: "start" });
}

function hideAnswers() {
  shown = [];
  $("result").hidden = true;
  $("empty").hidden = false;
}

async function explain(answer, own, sentence = false) {
  const limit = facts?.limits?.explained_characters ?? Infinity, { text, options } = answer.question;
  if (text.length + options.join("").length > limit) return;
  if (!sentence) answer.find("seeking").hidden = false;
  try {
    const body = { ...requestBody([answer.question]), explain: true, ...(sentence ? { sentence } : {}) };
    const { explanation } = (await ask("v1/classify", body, { signal: own.signal })).results[0];
    showExplanation(answer.node, explanation, options);
    answer.find("write").hidden = sentence || !facts?.sentences;
    if (sentence) say(answer.find("sentence"), explanation.sentence);
    answer.find("sentence-note").hidden = !sentence;
  } catch (error) {
    // The answer stands, whatever becomes of its explanation.
    if (own === request && error.name !== "AbortError") say($("problem"), error.message);
  } finally {
    answer.find("seeking").hidden = true;
  }
}

async function writeSentence(answer) {
  const button = answer.find("write");
  button.disabled = true;
  button.textContent = "Writing …";
  await explain(answer, request, true);
  button.disabled = false;
  button.textContent = "In a sentence";
}

// The address, and what can be taken away

const here = () => location.href.split("#")[0];

function pushAddress([first, second]) {
  const hash = toAddress(first, second?.text);
  if (hash !== location.hash) history.pushState(null, "", hash || here());
}

function openAddress() {
  const { text, options, second } = fromAddress(location.hash);
  if (!text) return;
  fillForm({ text, options }, second);
  classify({ keepAddress: true });
}

function clearPage() {
  request?.abort();
  fillForm({ text: "", options: [] });
  hideAnswers();
  say($("problem"), "");
  $("question").focus();
}

async function copyAndSay(text, what) {
  await copy(text);
  $("copied").textContent = `${what} copied.`;
  setTimeout(() => { $("copied").textContent = ""; }, 3000);
}

const SNIPPETS = {
  curl: () => asCurl(new URL("v1/classify", here()), shown.map((one) => one.question), hasKey()),
  python: () => asPython(new URL("v1/classify", here()), shown.map((one) => one.question), hasKey()),
  json: () => JSON.stringify(latest, null, 2),
};

function showSnippet() {
  const pressed = document.querySelector("[data-snippet][aria-pressed=true]");
  $("snippet-box").hidden = !pressed;
  if (pressed) $("snippet").textContent = SNIPPETS[pressed.dataset.snippet]();
}

function chooseSnippet(button) {
  const on = button.getAttribute("aria-pressed") !== "true";
  for (const each of document.querySelectorAll("[data-snippet]")) each.setAttribute("aria-pressed", String(on && each === button));
  showSnippet();
}

// The start

function showExamples() {
  const labels = facts ? facts.labels.map((one) => one.label) : Object.keys(EXAMPLES);
  const chosen = Object.keys(EXAMPLES).filter((label) => labels.includes(label)).map((label) => EXAMPLES[label]);
  if (chosen.length && facts?.min_in_scope != null) chosen.push(NO_SUBJECT);
  const items = chosen.map((text) => element("li", {}, element("button", {
    type: "button", textContent: text, onclick: () => { fillForm({ text, options: [] }); classify(); },
  })));
  $("examples").replaceChildren(...items);
  foldable($("more-examples"), items, FEW, "More examples", "Fewer examples");
  $("try").hidden = !chosen.length;
}

function showThresholds() {
  $("thresholds").replaceChildren(...Object.entries(facts.thresholds).map(([target, threshold]) => {
    const value = Math.ceil(100 * threshold);
    return element("button", {
      type: "button", className: "quiet", textContent: `${percent(Number(target), 0)} right from ${value}\u202f%`,
      onclick: () => { $("minimum").value = value; onMinimum(); },
    });
  }));
}

function onMinimum() {
  $("minimum-shown").textContent = percent(minimum(), 0);
  for (const one of shown) one.draw(minimum());
}

async function start() {
  try {
    facts = await ask("v1/model");
    $("key-form").hidden = true;
    setFacts(facts);
    showModel(facts);
    showThresholds();
    $("calibrated").hidden = !facts.measured.validation;
  } catch (error) {
    say($("model-about"), error.message);
    if (error.status === 401) report(error, $("key-problem"));
  }
  showExamples();
  if ($("key-form").hidden) openAddress();
}

$("ask").addEventListener("submit", (event) => { event.preventDefault(); classify(); });
$("ask").addEventListener("input", onEdit);
$("ask").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); classify(); }
});
$("cancel").addEventListener("click", () => request?.abort());
$("clear").addEventListener("click", () => { clearPage(); history.pushState(null, "", here()); });
$("compare").addEventListener("click", () => {
  const opens = $("second-box").hidden;
  showSecond(opens);
  onEdit();
  $(opens ? "second" : "question").focus();
});
$("minimum").addEventListener("input", onMinimum);
$("copy-link").addEventListener("click", () => {
  const hash = toAddress(shown[0].question, shown[1]?.question.text);
  if (hash) copyAndSay(here() + hash, "Link");
  else $("copied").textContent = "The question is too long for a link.";
});
$("copy-snippet").addEventListener("click", () => copyAndSay($("snippet").textContent, "Text"));
for (const button of document.querySelectorAll("[data-snippet]")) button.addEventListener("click", () => chooseSnippet(button));
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey($("key").value);
  start();
});
addEventListener("popstate", () => (location.hash ? openAddress() : clearPage()));
startSession((item) => { fillForm(item); classify(); });
startFiles(() => { $("key-form").hidden = false; $("key").focus(); });
start();
