// The page: asks the service that it comes from and shows the answers. Knows /v1/classify and /v1/model.

import { csvLine, parseCsv } from "./csv.js";
import { drawReliability } from "./reliability.js";

const EXAMPLES = {
  biology: "How do neurons transmit signals?",
  business: "What is the best strategy for corporate mergers?",
  chemistry: "Why does adding salt lower the freezing point of water?",
  "computer science": "What is the worst-case running time of quicksort?",
  economics: "How does a price ceiling lead to shortages?",
  engineering: "What load can a steel beam of this cross-section carry before it yields?",
  health: "What are the early signs of type 2 diabetes?",
  history: "Which treaty ended the Thirty Years' War?",
  law: "What are the principles of contract law?",
  math: "How many ways can 8 people sit around a round table?",
  other: "How is depreciation shown on a balance sheet?",
  philosophy: "Does Kant think that lying can ever be right?",
  physics: "What torque stops a spinning flywheel in ten seconds?",
  psychology: "How does cognitive bias affect decision making?",
};
const SHOWN = 5, SLIGHT = 0.2, STRONG = 1, ROWS_AT_ONCE = 32;
const $ = (id) => document.getElementById(id);
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
let facts = null, shownAll = false, latest = null, asked = 0, explained = null;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Returns the answer of the service; throws the sentence of its error. Asks a full queue again.
async function ask(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  if ($("key").value) headers.Authorization = `Bearer ${$("key").value}`;
  for (let turn = 0; ; turn++) {
    let response;
    try {
      response = await fetch(path, body ? { method: "POST", headers, body: JSON.stringify(body), signal } : { headers, signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The service cannot be reached; is it still running?");
    }
    if (response.status === 429 && turn < 20) {
      const wait = Math.min(Number(response.headers.get("Retry-After")) || 1, 10);
      await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
      continue;
    }
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    $("key-row").hidden = $("key-row").hidden && response.status !== 401;
    throw new Error(answer.error || `The service answered ${response.status}.`);
  }
}

function say(problem) {
  $("problem").textContent = problem;
  $("problem").hidden = !problem;
}

async function classify(event) {
  event?.preventDefault();
  const text = $("question").value.trim();
  if (!text) { say("Type a question first."); $("question").focus(); return; }
  say("");
  const options = $("options-box").open ? $("options").value.split("\n").map((line) => line.trim()).filter(Boolean) : [];
  const own = ++asked;
  const body = { questions: [{ text, options }], ...(options.length ? { with_options: true } : {}) };
  $("send").disabled = true;
  try {
    const plain = (await ask("v1/classify", body)).results[0];
    if (own !== asked) return;
    latest = plain;
    showAnswer();
    if ($("explain").checked && facts?.explains !== false) {
      const found = (await ask("v1/classify", { ...body, explain: true })).results[0];
      if (own === asked) showReason(found.explanation, body);
    }
  } catch (error) {
    if (own === asked) say(error.message);
  } finally {
    if (own === asked) $("send").disabled = false;
  }
}

// Returns a sentence where an answer probably belongs to none of the subjects; else nothing.
function doubt(found) {
  if (found.in_scope != null && facts?.min_in_scope != null) {
    return found.in_scope < facts.min_in_scope ? `Probably none of these subjects: the probability of any is ${percent(found.in_scope)}.` : "";
  }
  return found.label_mass !== null && found.label_mass < 0.5 ? "This question may not belong to any of these subjects." : "";
}

function showAnswer() {
  const minimum = Number($("minimum").value) / 100;
  $("minimum-shown").textContent = percent(minimum, 0);
  if (!latest) return;
  const ranked = Object.entries(latest.scores).sort((a, b) => b[1] - a[1]);
  const abstains = ranked[0][1] < minimum;
  $("verdict").textContent = abstains ? `Abstains: ${ranked[0][0]} has only ${percent(ranked[0][1])}` : `${ranked[0][0]}, ${percent(ranked[0][1])}`;
  $("doubt").textContent = doubt(latest);
  $("doubt").hidden = !$("doubt").textContent;
  $("bars").replaceChildren(...ranked.slice(0, shownAll ? ranked.length : SHOWN).map(([label, score]) => {
    const fill = element("div", { className: "fill" });
    fill.style.width = `${100 * score}%`;
    const track = element("div", { className: "track" }, fill);
    if (minimum > 0) {
      const line = element("div", { className: "line" });
      line.style.left = `${100 * minimum}%`;
      track.append(line);
    }
    return element("li", {}, element("span", { className: "name", textContent: label }), track, element("span", { className: "share", textContent: percent(score) }));
  }));
  $("all").hidden = ranked.length <= SHOWN;
  $("all").textContent = shownAll ? "Fewer labels" : `All ${ranked.length} labels`;
  $("all").setAttribute("aria-expanded", String(shownAll));
  $("reason").hidden = true;
  $("answer").hidden = false;
}

function showReason(found, body) {
  if (!found) return;
  explained = body;
  $("write").hidden = !facts?.sentences;
  $("sentence").hidden = $("sentence-note").hidden = true;
  // Positions in the text are counted in whole characters.
  const letters = Array.from(found.question);
  const pieces = [];
  let position = 0;
  for (const item of found.evidence.filter((one) => one.option === undefined)) {
    pieces.push(letters.slice(position, item.start).join(""));
    const words = letters.slice(item.start, item.end).join("");
    const strength = Math.abs(item.weight);
    const side = item.weight > 0 ? "for" : "against";
    const title = `${item.weight > 0 ? "+" : ""}${item.weight.toFixed(1)} for ${found.label}, ${item.runner_up_weight.toFixed(1)} for ${found.runner_up}`;
    pieces.push(strength < SLIGHT ? words : element("mark", { className: strength < STRONG ? side : `${side} strong`, title, textContent: words }));
    position = item.end;
  }
  pieces.push(letters.slice(position).join(""));
  $("marked").replaceChildren(...pieces);
  $("rather").textContent = `Why ${found.label} rather than ${found.runner_up}`;
  $("for-name").textContent = `For ${found.label}`;
  $("second-name").textContent = `For ${found.runner_up}`;
  for (const [list, key] of [["for-list", "weight"], ["second-list", "runner_up_weight"]]) {
    const best = found.evidence.filter((item) => item[key] > 0).sort((a, b) => b[key] - a[key]).slice(0, 3);
    $(list).replaceChildren(...(best.length ? best : [null]).map((item) => element("li", { textContent: item ? `${item.text} (+${item[key].toFixed(1)})` : "no single word" })));
  }
  $("reason").hidden = false;
}

async function writeSentence() {
  const body = explained, own = asked;
  $("write").disabled = true;
  $("write").textContent = "Writing …";
  try {
    const found = (await ask("v1/classify", { ...body, explain: true, sentence: true })).results[0];
    if (own !== asked) return;
    $("sentence").textContent = found.explanation.sentence;
    $("sentence").hidden = $("sentence-note").hidden = false;
    $("write").hidden = true;
  } catch (error) {
    if (own === asked) say(error.message);
  } finally {
    $("write").disabled = false;
    $("write").textContent = "In a sentence";
  }
}

// A file

let table = null, stopper = null;

async function openFile(file) {
  if (!file) return;
  $("download").hidden = true;
  $("progress").hidden = true;
  try {
    const rows = parseCsv(await file.text());
    if (rows.length < 2) throw new Error("This file has no rows below its first line.");
    table = { name: file.name.replace(/\.csv$/i, ""), head: rows[0], rows: rows.slice(1) };
  } catch (error) {
    table = null;
    $("file-controls").hidden = true;
    $("file-state").textContent = error.message;
    return;
  }
  const usual = table.head.findIndex((name) => /^(question|text|prompt|query|input)s?$/i.test(name.trim()));
  $("column").replaceChildren(...table.head.map((name, index) => element("option", { value: index, textContent: name || `column ${index + 1}`, selected: index === Math.max(usual, 0) })));
  $("file-controls").hidden = false;
  $("file-state").textContent = `${file.name}: ${table.rows.length.toLocaleString("en")} rows.`;
  $("run").focus();
}

async function runFile() {
  const column = Number($("column").value), minimum = Number($("minimum").value) / 100;
  const own = table, lines = [csvLine([...own.head, "subject", "probability", "best_subject", "note"])];
  stopper = new AbortController();
  $("run").disabled = true;
  $("stop").hidden = false;
  $("download").hidden = true;
  $("progress").hidden = false;
  const started = performance.now();
  let done = 0;
  try {
    while (done < own.rows.length) {
      const part = own.rows.slice(done, done + ROWS_AT_ONCE);
      lines.push(...await answerRows(part, column, minimum));
      done += part.length;
      $("progress").value = done / own.rows.length;
      const left = (performance.now() - started) / done * (own.rows.length - done) / 1000;
      $("file-state").textContent = `${done.toLocaleString("en")} of ${own.rows.length.toLocaleString("en")} rows, about ${Math.ceil(left)} s left`;
    }
    $("file-state").textContent = `All ${done.toLocaleString("en")} rows are classified.`;
  } catch (error) {
    const why = error.name === "AbortError" ? "Stopped" : error.message;
    $("file-state").textContent = `${why} ${done.toLocaleString("en")} of ${own.rows.length.toLocaleString("en")} rows are classified.`;
  } finally {
    $("run").disabled = false;
    $("stop").hidden = true;
    if (done) {
      URL.revokeObjectURL($("download").href);
      $("download").href = URL.createObjectURL(new Blob(["\uFEFF", ...lines], { type: "text/csv" }));
      $("download").download = `${own.name}-subjects.csv`;
      $("download").hidden = false;
    }
  }
}

// Returns one line per row. If one of them cannot be read, each is asked on its own, and that one says why.
async function answerRows(rows, column, minimum) {
  const send = (some) => ask("v1/classify", { questions: some.map((row) => row[column] ?? ""), min_confidence: minimum, top_k: 1 }, stopper.signal);
  const line = (row, found, note) => csvLine([...row, found?.label ?? "", found ? found.score : "", found ? found.best_label ?? found.label : "", note]);
  try {
    const { results } = await send(rows);
    return rows.map((row, index) => line(row, results[index], doubt(results[index])));
  } catch (error) {
    if (error.name === "AbortError" || /reached/.test(error.message)) throw error;
    if (rows.length === 1) return [line(rows[0], null, error.message)];
    const lines = [];
    for (const row of rows) lines.push(...await answerRows([row], column, minimum));
    return lines;
  }
}

// The model

function showModel() {
  const version = facts.version ? `, version ${facts.version}` : "", base = facts.base ? ` on ${facts.base.name}` : "";
  $("model-name").textContent = `${facts.name}${base}${version}: ${facts.labels.length} labels.${facts.warning ? ` ${facts.warning}` : ""}`;
  const rows = [];
  for (const report of facts.measured.test ?? []) {
    const what = `${report.data.protocol} ${report.data.split}, ${report.data.with_options ? "with options" : "question text"}`;
    for (const [key, name] of [["accuracy", "accuracy"], ["ece", "calibration error"]]) {
      const figure = report.metrics[key];
      const interval = figure.low == null ? "" : ` [${percent(figure.low)}, ${percent(figure.high)}]`;
      rows.push(element("tr", {}, element("th", { scope: "row", textContent: `${name} (${what})` }), element("td", { textContent: `${percent(figure.value)}${interval}` })));
    }
  }
  $("figures").tBodies[0].replaceChildren(...rows);
  $("figures").hidden = !rows.length;
  const bins = (facts.measured.test ?? []).find((report) => report.reliability)?.reliability;
  if (bins) drawReliability($("diagram").querySelector("svg"), bins);
  $("diagram").hidden = !bins;
  for (const [target, threshold] of Object.entries(facts.thresholds)) {
    $("thresholds").append(element("option", { value: Math.ceil(100 * threshold), label: `${percent(Number(target), 0)} right` }));
  }
  const known = Object.entries(facts.thresholds).map(([target, threshold]) => `${percent(Number(target), 0)} of its answers were right at a probability of ${percent(threshold, 0)} or more`);
  $("limits").textContent = known.length ? `On its validation rows ${known.join(", and ")}. Other kinds of questions may do worse.` : "";
}

async function start() {
  try {
    facts = await ask("v1/model");
    showModel();
  } catch (error) {
    $("model-name").textContent = error.message;
  }
  const labels = facts ? new Set(facts.labels.map((one) => one.label)) : new Set(Object.keys(EXAMPLES));
  const chosen = Object.entries(EXAMPLES).filter(([label]) => labels.has(label)).map(([, question]) => question);
  $("examples").replaceChildren(...chosen.map((question) => element("li", {}, element("button", {
    type: "button", textContent: question,
    onclick: () => { $("question").value = question; $("options").value = ""; $("options-box").open = false; classify(); $("answer").scrollIntoView({ block: "nearest" }); },
  }))));
  $("examples").closest("section").hidden = !chosen.length;
}

$("ask").addEventListener("submit", classify);
$("question").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) classify(event); });
$("minimum").addEventListener("input", () => { const open = !$("reason").hidden; showAnswer(); $("reason").hidden = !open; });
$("write").addEventListener("click", writeSentence);
$("all").addEventListener("click", () => { const open = !$("reason").hidden; shownAll = !shownAll; showAnswer(); $("reason").hidden = !open; });
$("key").addEventListener("change", () => { say(""); if (!facts) start(); });
$("csv").addEventListener("change", async (event) => {
  await openFile(event.target.files[0]);
  event.target.value = ""; // so that the same file can be chosen again
});
$("run").addEventListener("click", runFile);
$("stop").addEventListener("click", () => stopper?.abort());
for (const name of ["dragenter", "dragover"]) $("file").addEventListener(name, (event) => { event.preventDefault(); $("file").classList.add("over"); });
for (const name of ["dragleave", "drop"]) $("file").addEventListener(name, () => $("file").classList.remove("over"));
$("file").addEventListener("drop", (event) => { event.preventDefault(); openFile(event.dataTransfer.files[0]); });
start();
