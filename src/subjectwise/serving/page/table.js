// Tables as text: CSV as RFC 4180 has it with any usual delimiter, JSON lines, and a question per line. Knows no page.

const DELIMITERS = [",", ";", "\t", "|"];
const NAMES = { ",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", "": "one question per line" };
const QUESTION_NAME = /^(question|text|prompt|query|sentence|input)s?$/i;

// Text of a file, and its encoding: UTF-16 where marked, UTF-8 where it is, else that of Windows.
export function decode(bytes) {
  const start = String.fromCharCode(...bytes.subarray(0, 4));
  if (start === "%PDF" || start.startsWith("PK\x03\x04")) {
    throw new Error("This is not a text file; open it in its program and save the table as CSV.");
  }
  const marked = { "\xFF\xFE": "utf-16le", "\xFE\xFF": "utf-16be" }[start.slice(0, 2)];
  let encoding = marked ?? "utf-8", text;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    encoding = "windows-1252";
    text = new TextDecoder(encoding).decode(bytes);
  }
  if (/[\x00-\x08\x0E-\x1A]/.test(text)) throw new Error("This is not a text file; save the table as CSV.");
  return { text: text.replace(/^\uFEFF/, ""), encoding };
}

// Rows of cells; a quoted cell may have delimiters, quotes and line breaks. Stops after `most` rows.
export function parseCsv(text, delimiter = ",", most = Infinity) {
  const rows = [];
  let row = [], cell = "", quoted = false, closed = false;
  const endCell = () => { row.push(cell); cell = ""; closed = false; };
  const endRow = () => { endCell(); if (row.length > 1 || row[0].trim() !== "") rows.push(row); row = []; };
  for (let i = 0; i < text.length && rows.length < most; i++) {
    const character = text[i];
    if (quoted) {
      if (character !== '"') cell += character;
      else if (text[i + 1] === '"') { cell += '"'; i++; }
      else { quoted = false; closed = true; }
    } else if (character === '"' && cell === "" && !closed) quoted = true;
    else if (character === delimiter) endCell();
    else if (character === "\n" || character === "\r") {
      if (character === "\r" && text[i + 1] === "\n") i++;
      endRow();
    } else cell += character;
  }
  if (quoted) throw new Error("A quotation mark in this file is not closed.");
  if (rows.length < most && (cell !== "" || row.length)) endRow();
  return rows;
}

// The delimiter by which the first rows have equally many cells, more than one; "" where there is none.
function findDelimiter(text) {
  let best = "", most = 0;
  for (const delimiter of DELIMITERS) {
    let rows;
    try { rows = parseCsv(text, delimiter, 50); } catch { continue; }
    const width = rows[0]?.length ?? 0;
    const even = width > 1 ? rows.filter((row) => row.length === width).length / rows.length : 0;
    if (even > 0.5 && even > most) [best, most] = [delimiter, even];
  }
  return best;
}

const plainLines = (text) => text.split(/\r\n|\r|\n/).filter((line) => line.trim()).map((line) => [line]);

function parseJsonLines(text) {
  const records = text.trimStart().startsWith("[") ? JSON.parse(text) : text.split("\n").filter((line) => line.trim()).map((line, index) => {
    try { return JSON.parse(line); } catch { throw new Error(`Line ${index + 1} is not JSON.`); }
  });
  const named = records.map((record) => (record !== null && typeof record === "object" ? record : { question: record }));
  const head = [...new Set(named.flatMap(Object.keys))];
  const cell = (value) => (typeof value === "string" ? value : value == null ? "" : JSON.stringify(value));
  return [head, ...named.map((record) => head.map((name) => cell(record[name])))];
}

const looksLikeHead = (row) => row.some((name) => QUESTION_NAME.test(name.trim()))
  || (row.length > 1 && row.every((name) => name.trim() && name.length < 40 && !/[?.!]\s*$/.test(name)) && new Set(row).size === row.length);

// All lines of a file as cells, equally many in each; `hasHead` is a guess.
export function readTable(name, bytes) {
  const { text, encoding } = decode(bytes);
  const json = /\.(jsonl|ndjson|json)$/i.test(name) || /^\s*\{"/.test(text);
  const delimiter = json ? "" : findDelimiter(text);
  const plain = !json && !delimiter && /\.txt$/i.test(name);
  const lines = json ? parseJsonLines(text) : plain ? plainLines(text) : parseCsv(text, delimiter || "\0");
  if (!lines.length) throw new Error("This file is empty.");
  const width = lines[0].length, widest = lines.reduce((most, row) => Math.max(most, row.length), 0);
  const uneven = lines.filter((row) => row.length !== width).length;
  for (const row of lines) while (row.length < widest) row.push("");
  return { lines, uneven, encoding, format: json ? "JSON" : NAMES[delimiter], hasHead: json || looksLikeHead(lines[0]) };
}

// The column of the question: by its name, else the one with the longest cells.
export function questionColumn(head, rows) {
  const named = head.findIndex((name) => QUESTION_NAME.test(name.trim()));
  if (named >= 0) return named;
  const length = (index) => rows.slice(0, 50).reduce((sum, row) => sum + row[index].length, 0);
  return head.reduce((best, _, index) => (length(index) > length(best) ? index : best), 0);
}

// What a spreadsheet would run as a formula is kept as text.
const quote = (value, isText) => {
  const text = String(value ?? "");
  const safe = isText && /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

export const csvLine = (cells) => cells.map((cell) => quote(cell, typeof cell === "string")).join(",") + "\r\n";
