// The document: finding, making and filling its elements. Knows no service.

export const $ = (id) => document.getElementById(id);
// A narrow space that ends no line, as in the report.
export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}\u202f%`;
export const count = (number, name) => `${number.toLocaleString("en")} ${name}${number === 1 ? "" : "s"}`;

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Shows a sentence; hides its element where there is none.
export function say(node, text) {
  node.textContent = text;
  node.hidden = !text;
}

export const clip = (text, longest) => (text.length > longest ? `${text.slice(0, longest).trimEnd()} …` : text);

// What a tab remembers until it is closed, also over a reload; nothing where the browser forbids it.
export function recall(name) {
  try { return JSON.parse(sessionStorage.getItem(`subjectwise.${name}`)); } catch { return null; }
}
export function remember(name, value) {
  try { sessionStorage.setItem(`subjectwise.${name}`, JSON.stringify(value)); } catch { /* full or forbidden */ }
}

// Outside of https and localhost browsers have no clipboard, but still this command.
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = element("textarea", { value: text });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function download(link, name, parts, type) {
  URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob(parts, { type }));
  link.download = name;
}

// A bar as long as a share of its track.
export function bar(share, className = "") {
  const fill = element("span", { className: "fill" });
  fill.style.width = `${100 * share}%`;
  const track = element("span", { className: `track ${className}` }, fill);
  track.setAttribute("aria-hidden", "true");
  return track;
}

// Shows the first of some items; a button shows all of them, and the first again.
export function foldable(button, items, few, more, fewer) {
  const fold = (folded) => {
    items.forEach((item, index) => { item.hidden = folded && index >= few; });
    button.textContent = folded ? more : fewer;
    button.setAttribute("aria-expanded", String(!folded));
  };
  fold(true);
  button.hidden = items.length <= few;
  button.onclick = () => fold(button.getAttribute("aria-expanded") === "true");
}
