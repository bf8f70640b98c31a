// What the model is and how well it was measured. Knows `/v1/model` as the service gives it.

import { $, count, element, foldable, percent, say } from "./dom.js";

const AT_ONCE = 8;

function drawReliability(svg, bins) {
  const add = (name, attributes, text = "") => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    svg.append(made);
  };
  const x = (share) => 25 + 185 * share, y = (share) => 195 - 185 * share;
  svg.replaceChildren();
  for (const share of [0, 0.5, 1]) {
    add("line", { class: "axis", x1: x(0), x2: x(1), y1: y(share), y2: y(share) });
    add("text", { x: 20, y: y(share) + 3, "text-anchor": "end" }, String(100 * share));
    add("text", { x: x(share), y: 207, "text-anchor": "middle" }, String(100 * share));
  }
  add("line", { class: "even", x1: x(0), y1: y(0), x2: x(1), y2: y(1) });
  for (const bin of bins.filter((one) => one.rows)) {
    add("line", { class: "range", x1: x(bin.confidence), x2: x(bin.confidence), y1: y(bin.low), y2: y(bin.high) });
    add("circle", { class: "point", cx: x(bin.confidence), cy: y(bin.accuracy), r: 3 });
  }
  add("text", { x: 117, y: 218, "text-anchor": "middle" }, "probability given, %");
  add("text", { x: 30, y: 20 }, "share right, %");
}

const interval = ({ value, low, high }) => (low == null ? percent(value) : `${percent(value)} (${(100 * low).toFixed(0)} to ${percent(high, 0)})`);

function measurementRow(name, rows, accuracy) {
  return element("tr", {}, element("th", { scope: "row", textContent: name }),
    element("td", { textContent: rows.toLocaleString("en") }), element("td", { textContent: interval(accuracy) }));
}

// A row for each kind of questions, or for each report that has no kinds.
function measurementRows(reports) {
  return reports.flatMap((report) => {
    const options = report.data.with_options ? ", with options" : "";
    const kinds = Object.entries(report.kinds ?? {});
    if (kinds.length) return kinds.map(([name, kind]) => measurementRow(name + options, kind.rows, kind.accuracy));
    return [measurementRow(`${report.data.protocol} ${report.data.split}${options}`, report.data.rows, report.metrics.accuracy)];
  });
}

// What the model does not know, in sentences.
function limits(facts, reports) {
  const said = [];
  const scope = reports.find((report) => report.scope)?.scope;
  if (facts.min_in_scope == null) said.push("It does not tell whether a question belongs to none of its labels.");
  else if (scope) said.push(`Of requests that belong to no subject it notices ${percent(scope.flagged.value)}; of questions it takes ${percent(scope.questions_flagged.value)} for such.`);
  if (facts.prompt?.max_tokens) said.push(`It reads ${facts.prompt.max_tokens} tokens of a question; of a longer one the middle is cut out.`);
  for (const [target, threshold] of Object.entries(facts.thresholds)) {
    said.push(`At a probability of ${percent(threshold, 0)} or more at least ${percent(Number(target), 0)} of the answers are right on questions like its validation rows; other kinds of questions may do worse.`);
  }
  if (!facts.measured.validation) said.push("Its probabilities were not measured on validation rows, so do not take them for calibrated.");
  if (facts.warning) said.push(facts.warning);
  return said;
}

// huggingface.co has the card of a base that is named as there.
function baseName(name) {
  if (!/^[\w.-]+\/[\w.-]+$/.test(name)) return name;
  return element("a", { href: `https://huggingface.co/${name}`, rel: "noreferrer", textContent: name });
}

export function showModel(facts) {
  const reports = facts.measured.test ?? [];
  const lines = [["Name", facts.name], ["Base", facts.base && baseName(facts.base.name)], ["Version", facts.version], ["Labels", String(facts.labels.length)]];
  $("model-facts").replaceChildren(...lines.filter(([, value]) => value).map(([name, value]) => element("div", {}, element("dt", { textContent: name }), element("dd", {}, value))));
  say($("model-about"), facts.base
    ? "A small language model reads the question. Each label's probability is that of its own words coming next, so no answer is outside the list."
    : "Each label gets a probability; no answer is outside the list.");
  $("labels").replaceChildren(...facts.labels.flatMap(({ label, description }) => [element("dt", { textContent: label }), element("dd", { textContent: description })]));
  const rows = measurementRows(reports);
  $("measured").tBodies[0].replaceChildren(...rows);
  $("measured").hidden = !rows.length;
  foldable($("more-measured"), rows, AT_ONCE, `All ${count(rows.length, "kind")} of questions`, "Fewer kinds");
  const bins = reports.find((report) => report.reliability)?.reliability;
  if (bins) drawReliability($("diagram").querySelector("svg"), bins);
  $("diagram").hidden = !bins;
  $("limits").replaceChildren(...limits(facts, reports).map((text) => element("li", { textContent: text })));
  $("model-body").hidden = false;
}
