// The questions of this tab and what the reader says they are. Nothing of it leaves the browser.

import { $, clip, count, download, element, percent, recall, remember } from "./dom.js";
import { csvLine } from "./table.js";

const MOST = 50;
let items = recall("history") ?? [];
let onOpen = () => {};

const same = (item, question) => item.text === question.text && item.options.join("\n") === question.options.join("\n");

export const truthOf = (question) => items.find((item) => same(item, question))?.truth ?? "";

export function startSession(open) {
  onOpen = open;
  $("forget").addEventListener("click", () => { items = []; store(); $("question").focus(); });
  $("export").addEventListener("click", () => {
    const rows = items.filter((item) => item.truth).map((item) => csvLine([item.text, item.truth, item.label, item.score]));
    download($("export"), "labelled-questions.csv", ["\uFEFF", csvLine(["question", "label", "predicted", "probability"]), ...rows], "text/csv");
  });
  draw();
}

export function addToSession(question, answer) {
  const truth = truthOf(question);
  items = [{ ...question, ...answer, truth }, ...items.filter((item) => !same(item, question))].slice(0, MOST);
  store();
}

export function setTruth(question, truth) {
  const item = items.find((one) => same(one, question));
  if (item) item.truth = truth;
  store();
}

function store() {
  remember("history", items);
  draw();
}

function draw() {
  $("history").hidden = !items.length;
  $("history-list").replaceChildren(...items.map((item) => {
    const said = item.truth ? (item.truth === item.label ? " ✓" : ` → ${item.truth}`) : "";
    return element("li", {}, element("button", { type: "button", onclick: () => onOpen(item) },
      element("span", { className: "text", textContent: clip(item.text, 120) }),
      element("span", { className: "soft", textContent: `${item.outside ? "none of these" : `${item.label}, ${percent(item.score, 0)}`}${said}` })));
  }));
  const labelled = items.filter((item) => item.truth).length;
  $("export").hidden = !labelled;
  $("export").textContent = `Download ${count(labelled, "labelled question")}`;
  // A link without an address is not reached by keyboard.
  if (labelled && !$("export").href) $("export").href = "#";
}
