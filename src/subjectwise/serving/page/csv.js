// CSV as RFC 4180 has it. Knows text; knows no page.

// Rows of cells; a quoted cell may hold commas, quotes and line breaks.
export function parseCsv(text) {
  const rows = [];
  let row = [], cell = "", quoted = false, closed = false;
  const endCell = () => { row.push(cell); cell = ""; closed = false; };
  const endRow = () => { endCell(); if (row.length > 1 || row[0] !== "") rows.push(row); row = []; };
  const body = text.replace(/^\uFEFF/, "");
  for (let i = 0; i < body.length; i++) {
    const character = body[i];
    if (quoted) {
      if (character !== '"') cell += character;
      else if (body[i + 1] === '"') { cell += '"'; i++; }
      else { quoted = false; closed = true; }
    } else if (character === '"' && cell === "" && !closed) quoted = true;
    else if (character === ",") endCell();
    else if (character === "\n" || character === "\r") {
      if (character === "\r" && body[i + 1] === "\n") i++;
      endRow();
    } else cell += character;
  }
  if (quoted) throw new Error("A quotation mark in this file is not closed.");
  if (cell !== "" || row.length) endRow();
  return rows;
}

// What a spreadsheet would run as a formula is kept as text.
const quote = (value, isText) => {
  const text = String(value ?? "");
  const safe = isText && /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

export const csvLine = (cells) => cells.map((cell) => quote(cell, typeof cell === "string")).join(",") + "\r\n";
