// One answer: its verdict, what to doubt about it, the bars, the reason. Knows no service and no address.

import { bar, clip, element, percent, say } from "./dom.js";

const SHOWN = 5, ECHOED = 300;

// Returns a sentence where an answer probably belongs to none of the labels; else nothing.
export function outOfScope(result, facts) {
  const limit = facts?.min_in_scope;
  if (result.in_scope == null || limit == null || result.in_scope >= limit) return "";
  return `Probably none of these subjects: the probability that it belongs to any is ${percent(result.in_scope)}.`;
}

export const ranking = (result) => Object.entries(result.scores).sort((a, b) => b[1] - a[1]);

// What a reader should know beside the label.
function notes(result, facts) {
  const said = [outOfScope(result, facts)];
  if (result.truncated) {
    const tokens = facts?.prompt?.max_tokens;
    said.push(`The question is longer than the model reads${tokens ? ` (${tokens} tokens)` : ""}: its middle was cut out.`);
  }
  const close = (result.labels ?? []).slice(1, 4);
  if (close.length && !said[0]) {
    const names = close.map((label) => `${label} (${percent(result.scores[label])})`);
    said.push(`Close: ${names.join(", ")}.`);
  }
  if (result.answered_by) said.push(`Answered by ${result.answered_by}.`);
  return said.filter(Boolean);
}

// An answer as an element that shows itself again for another threshold.
export class Answer {
  constructor(question, facts, onFeedback) {
    this.question = question;
    this.facts = facts;
    this.result = null;
    this.all = false;
    this.node = document.getElementById("answer-template").content.firstElementChild.cloneNode(true);
    this.find("all").addEventListener("click", () => { this.all = !this.all; this.draw(this.minimum); });
    this.find("truth").addEventListener("change", (event) => onFeedback(this, event.target.value));
  }

  find(name) {
    return this.node.querySelector(`.${name}`);
  }

  show(result, minimum, truth) {
    this.result = result;
    this.find("asked").textContent = clip(this.question.text, ECHOED);
    const labels = Object.keys(result.scores);
    this.find("truth").append(...labels.map((label) => element("option", { value: label, textContent: label })));
    this.find("truth").value = truth ?? "";
    this.draw(minimum);
  }

  get isOutside() {
    return Boolean(outOfScope(this.result, this.facts));
  }

  get verdict() {
    const [label, score] = ranking(this.result)[0];
    if (this.isOutside) return `None of these? At best ${label}, ${percent(score)}`;
    return score < this.minimum ? `Abstains: ${label} has only ${percent(score)}` : `${label}, ${percent(score)}`;
  }

  draw(minimum) {
    this.minimum = minimum;
    const ranked = ranking(this.result);
    const [label, score] = ranked[0];
    const none = this.isOutside, abstains = score < minimum;
    const heading = this.find("verdict");
    if (none || abstains) heading.textContent = this.verdict;
    else heading.replaceChildren(label, element("span", { textContent: ", ", className: "unseen" }), element("span", { className: "score", textContent: percent(score) }));
    heading.classList.toggle("doubtful", none || abstains);
    this.find("notes").replaceChildren(...notes(this.result, this.facts).map((text, index) => element("li", { textContent: text, className: none && !index ? "warn" : "" })));
    this.find("bars").replaceChildren(...ranked.slice(0, this.all ? ranked.length : SHOWN).map(([name, share]) => {
      const track = bar(share);
      if (minimum > 0) {
        const line = element("span", { className: "line" });
        line.style.left = `${100 * minimum}%`;
        track.append(line);
      }
      return element("li", {}, element("span", { className: "name", textContent: name }), track, element("span", { className: "share", textContent: percent(share) }));
    }));
    const all = this.find("all");
    all.hidden = ranked.length <= SHOWN;
    all.textContent = this.all ? "Fewer labels" : `All ${ranked.length} labels`;
    all.setAttribute("aria-expanded", String(this.all));
  }
}

// How two answers differ, in a sentence.
export function difference(first, second) {
  const [one, other] = [first, second].map((answer) => (answer.isOutside ? "none of these" : ranking(answer.result)[0][0]));
  const { scores } = second.result;
  const shared = Object.entries(first.result.scores).reduce((sum, [label, score]) => sum + Math.min(score, scores[label]), 0);
  return `${one === other ? `Both: ${one}.` : `First: ${one}; second: ${other}.`} Their probabilities overlap by ${percent(shared, 0)}.`;
}
