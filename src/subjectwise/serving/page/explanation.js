// Why a label and not the next: the marked question, and the words with their weights. Knows no service.

import { element, say } from "./dom.js";

const SLIGHT = 0.2, STRONG = 1, ROWS = 6;
const signed = (weight) => (Math.abs(weight) < 0.05 ? "0.0" : `${weight > 0 ? "+" : "−"}${Math.abs(weight).toFixed(1)}`);

function mark(text, weight) {
  const strength = Math.abs(weight);
  if (strength < SLIGHT) return text;
  const side = weight > 0 ? "for" : "against";
  return element("mark", { className: strength < STRONG ? side : `${side} strong`, textContent: text });
}

// Positions in the text are counted in whole characters.
function markedText(explanation) {
  const letters = Array.from(explanation.question), pieces = [];
  let position = 0;
  for (const item of explanation.evidence.filter((one) => one.option === undefined)) {
    pieces.push(letters.slice(position, item.start).join(""), mark(letters.slice(item.start, item.end).join(""), item.weight));
    position = item.end;
  }
  pieces.push(letters.slice(position).join(""));
  return pieces;
}

function markedOptions(explanation, options) {
  const weights = new Map(explanation.evidence.filter((one) => one.option !== undefined).map((one) => [one.option, one.weight]));
  return options.map((text, index) => element("li", {}, mark(text, weights.get(index) ?? 0)));
}

// Fills `.reason` of an answer. `options` are those of the question.
export function showExplanation(node, explanation, options) {
  const find = (name) => node.querySelector(`.${name}`);
  say(find("why"), `Why ${explanation.label} rather than ${explanation.runner_up}`);
  find("marked").replaceChildren(...markedText(explanation));
  find("marked-options").replaceChildren(...markedOptions(explanation, options));
  find("marked-options").hidden = !options.length;
  find("for-label").textContent = explanation.label;
  find("for-second").textContent = explanation.runner_up;
  const strength = (item) => Math.max(Math.abs(item.weight), Math.abs(item.runner_up_weight));
  const rows = [...explanation.evidence].filter((item) => strength(item) >= SLIGHT / 2).sort((a, b) => strength(b) - strength(a)).slice(0, ROWS);
  find("words").tBodies[0].replaceChildren(...rows.map((item) => element("tr", {},
    element("th", { scope: "row", textContent: item.text }),
    element("td", { textContent: signed(item.weight) }),
    element("td", { textContent: signed(item.runner_up_weight) }))));
  find("words").hidden = find("unit").hidden = !rows.length;
  find("legend").hidden = !node.querySelector("mark:not(.legend mark)");
  say(find("no-words"), rows.length ? "" : "No single word decides.");
  node.querySelector(".reason").hidden = false;
}
