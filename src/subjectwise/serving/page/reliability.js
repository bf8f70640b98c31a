// The reliability diagram: how often the answers of each probability are right.

export function drawReliability(svg, bins) {
  const add = (name, attributes, text = "") => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    svg.append(made);
  };
  const x = (share) => 25 + 185 * share, y = (share) => 195 - 185 * share;
  for (const share of [0, 0.5, 1]) {
    add("line", { class: "axis", x1: x(0), x2: x(1), y1: y(share), y2: y(share) });
    add("text", { x: 2, y: y(share) + 3 }, String(100 * share));
    add("text", { x: x(share) - 6, y: 207 }, String(100 * share));
  }
  add("line", { class: "even", x1: x(0), y1: y(0), x2: x(1), y2: y(1) });
  for (const bin of bins.filter((one) => one.rows)) {
    add("line", { class: "range", x1: x(bin.confidence), x2: x(bin.confidence), y1: y(bin.low), y2: y(bin.high) });
    add("circle", { class: "point", cx: x(bin.confidence), cy: y(bin.accuracy), r: 3 });
  }
  add("text", { x: 70, y: 218 }, "probability it gives, %");
  add("text", { x: 28, y: 12 }, "share it gets right, %");
}
