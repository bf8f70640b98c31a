// A file of questions: preview, progress, stopping and going on, a summary, and the answers to download.

import { outOfScope } from "./answer.js";
import { $, bar, clip, count, download, element, percent, say } from "./dom.js";
import { ask } from "./service.js";
import { csvLine, questionColumn, readTable } from "./table.js";

const ROWS_AT_ONCE = 32, PREVIEW = 5, SHOWN = 20, LONGEST_CELL = 90;
const COLUMNS = ["subject", "probability", "best_subject", "note"];
let facts = null, file = null, job = null, stopper = null, onKeyNeeded = () => {};

export function setFacts(found) {
  facts = found;
}

const rowsOf = () => (file.hasHead ? file.lines.slice(1) : file.lines);
const headOf = () => file.lines[0].map((name, index) => (file.hasHead && name.trim() ? name : `column ${index + 1}`));

async function openFile(chosen) {
  if (!chosen) return;
  stopper?.abort();
  file = job = null;
  for (const id of ["file-controls", "preview", "download", "progress", "summary", "continue", "stop"]) $(id).hidden = true;
  $("file-controls").inert = false;
  try {
    file = { name: chosen.name, ...readTable(chosen.name, new Uint8Array(await chosen.arrayBuffer())) };
    if (file.hasHead && file.lines.length < 2) throw new Error("This file has no rows below its first line.");
  } catch (error) {
    file = null;
    say($("file-state"), error.message);
    return;
  }
  $("has-head").checked = file.hasHead;
  $("has-head").disabled = file.lines.length < 2 || file.format === "JSON";
  $("file-controls").hidden = false;
  showPreview();
  $("run").focus({ preventScroll: true });
}

function showPreview() {
  const head = headOf(), rows = rowsOf();
  const chosen = questionColumn(head, rows);
  $("column").replaceChildren(...head.map((name, index) => element("option", { value: index, textContent: name, selected: index === chosen })));
  const uneven = file.uneven ? ` ${count(file.uneven, "row")} with more or fewer cells than the first.` : "";
  say($("file-state"), `${file.name}: ${count(rows.length, "row")}, ${file.format}, ${file.encoding.toUpperCase()}.${uneven}`);
  $("run").textContent = `Classify ${count(rows.length, "row")}`;
  drawTable("First rows", head, rows.slice(0, PREVIEW), chosen);
}

function drawTable(caption, head, rows, marked) {
  const cell = (name, text, index) => element(name, { textContent: clip(String(text), LONGEST_CELL), className: index === marked ? "question" : "" });
  $("preview-caption").textContent = caption;
  const heads = head.map((name, index) => Object.assign(cell("th", name, index), { scope: "col" }));
  $("preview-table").tHead.replaceChildren(element("tr", {}, ...heads));
  $("preview-table").tBodies[0].replaceChildren(...rows.map((row) => element("tr", {}, ...row.map((text, index) => cell("td", text, index)))));
  $("preview").hidden = false;
}

// A name that the file does not have yet.
function newNames(head) {
  return COLUMNS.map((name) => (head.includes(name) ? `${name}_answered` : name));
}

function start() {
  const minimum = Math.min(99, Math.max(0, Number($("file-minimum").value) || 0)) / 100;
  job = { head: headOf(), rows: rowsOf(), column: Number($("column").value), minimum, results: [], seconds: 0 };
  run();
}

async function run() {
  const own = job;
  stopper = new AbortController();
  const { signal } = stopper;
  const atOnce = Math.min(ROWS_AT_ONCE, facts?.limits?.questions ?? ROWS_AT_ONCE);
  $("file-controls").inert = true;
  $("stop").hidden = $("progress").hidden = false;
  $("download").hidden = $("summary").hidden = $("continue").hidden = true;
  const began = performance.now(), before = own.results.length;
  let problem = "";
  try {
    while (own.results.length < own.rows.length) {
      const part = own.rows.slice(own.results.length, own.results.length + atOnce);
      own.results.push(...await answerRows(part, own, signal));
      showProgress(own, (performance.now() - began) / (own.results.length - before));
    }
  } catch (error) {
    problem = error.name === "AbortError" ? "Stopped." : error.message;
    if (error.status === 401) onKeyNeeded();
  }
  if (own !== job) return;
  $("file-controls").inert = false;
  $("stop").hidden = true;
  finish(own, problem);
}

function showProgress(own, perRow) {
  const done = own.results.length, all = own.rows.length;
  $("progress").value = done / all;
  const left = Math.ceil(perRow * (all - done) / 1000);
  const time = left > 90 ? `${Math.ceil(left / 60)} minutes` : count(left, "second");
  say($("file-state"), `${done.toLocaleString("en")} of ${count(all, "row")}, about ${time} left`);
}

function finish(own, problem) {
  const done = own.results.length, all = own.rows.length;
  const refused = own.results.filter((result) => !result.answer).length;
  const answered = (done - refused).toLocaleString("en");
  const state = problem ? `${problem} ${answered} of ${count(all, "row")} are classified` : refused ? `${answered} of ${count(all, "row")} are classified` : `All ${count(all, "row")} are classified`;
  say($("file-state"), refused ? `${state}; ${refused.toLocaleString("en")} could not be, and the column note says why.` : `${state}.`);
  $("continue").hidden = done === all;
  $("continue").textContent = `Go on with the other ${count(all - done, "row")}`;
  if (!done) return;
  const names = newNames(own.head);
  const lines = own.results.map((result, index) => csvLine([...own.rows[index], ...cells(result)]));
  download($("download"), `${file.name.replace(/\.\w+$/, "")}-subjects.csv`, ["\uFEFF", csvLine([...own.head, ...names]), ...lines], "text/csv");
  $("download").hidden = false;
  const shown = own.results.slice(0, SHOWN).map((result, index) => {
    const [subject, probability, , note] = cells(result);
    return [own.rows[index][own.column], subject, probability === "" ? "" : percent(probability), note];
  });
  drawTable(done > SHOWN ? `First ${SHOWN} answers; the download has all` : "Answers", [own.head[own.column], "subject", "probability", "note"], shown, 0);
  showSummary(own.results);
}

// How many rows each subject has.
function showSummary(results) {
  const counts = new Map();
  for (const { answer } of results) if (answer) counts.set(answer.label, (counts.get(answer.label) ?? 0) + 1);
  const ranked = [...counts].sort((a, b) => b[1] - a[1]);
  $("summary").replaceChildren(...ranked.map(([label, rows]) => element("li", {},
    element("span", { className: "name", textContent: label }), bar(rows / ranked[0][1]),
    element("span", { className: "share", textContent: rows.toLocaleString("en") }))));
  $("summary").hidden = !ranked.length;
}

const cells = ({ answer, note }) => (answer ? [answer.label, answer.score, answer.best_label || answer.label, note] : ["", "", "", note]);

// Returns an answer or a note for each row. If one of them is refused, each is asked on its own, and that one says why.
async function answerRows(rows, own, signal) {
  const texts = rows.map((row) => row[own.column]);
  const asked = rows.filter((_, index) => texts[index].trim());
  if (asked.length < rows.length) {
    const answers = asked.length ? await answerRows(asked, own, signal) : [];
    return texts.map((text) => (text.trim() ? answers.shift() : { note: "The question is empty." }));
  }
  try {
    const body = { questions: texts, min_confidence: own.minimum, top_k: 1 };
    const { results } = await ask("v1/classify", body, { signal, onBusy: () => say($("file-state"), "The service is busy; waiting …") });
    return results.map((answer) => ({ answer, note: [outOfScope(answer, facts), answer.truncated ? "Too long: its middle was cut out." : ""].filter(Boolean).join(" ") }));
  } catch (error) {
    if (!error.isRefusal) throw error;
    if (rows.length === 1) return [{ note: error.message }];
    const results = [];
    for (const row of rows) results.push(...await answerRows([row], own, signal));
    return results;
  }
}

export function startFiles(askForKey) {
  onKeyNeeded = askForKey;
  const section = $("file");
  $("csv").addEventListener("change", async (event) => {
    await openFile(event.target.files[0]);
    event.target.value = ""; // so that the same file can be chosen again
  });
  $("has-head").addEventListener("change", (event) => { file.hasHead = event.target.checked; showPreview(); });
  $("run").addEventListener("click", start);
  $("continue").addEventListener("click", run);
  $("stop").addEventListener("click", () => stopper?.abort());
  for (const name of ["dragenter", "dragover"]) section.addEventListener(name, (event) => { event.preventDefault(); section.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) section.addEventListener(name, () => section.classList.remove("over"));
  section.addEventListener("drop", (event) => { event.preventDefault(); openFile(event.dataTransfer.files[0]); });
}
