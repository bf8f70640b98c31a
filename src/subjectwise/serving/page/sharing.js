// What can be taken away: the address of a question, commands that ask it, corrections. Knows no document.

const LONGEST_ADDRESS = 4000;

// The part after # is not sent to any server, and so is in no log of one.
export function toAddress({ text, options }, second) {
  const fields = new URLSearchParams([["q", text], ...options.map((one) => ["o", one]), ...(second ? [["vs", second]] : [])]);
  const hash = `#${fields}`;
  return hash.length > LONGEST_ADDRESS ? "" : hash;
}

export function fromAddress(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  return { text: fields.get("q") ?? "", options: fields.getAll("o"), second: fields.get("vs") ?? "" };
}

// The body of a request as a reader would write it.
export function requestBody(questions) {
  const options = questions.some((one) => one.options.length);
  return { questions: questions.map((one) => (one.options.length ? one : one.text)), ...(options ? { with_options: true } : {}) };
}

const indented = (value) => JSON.stringify(value, null, 2);

export function asCurl(url, questions, keyed) {
  const body = indented(requestBody(questions)).replaceAll("'", "'\\''");
  const key = keyed ? ` \\\n  -H "Authorization: Bearer $API_KEY"` : "";
  return `curl ${url} \\\n  -H 'Content-Type: application/json'${key} \\\n  -d '${body}'`;
}

export function asPython(url, questions, keyed) {
  // JSON's strings and lists are Python's; its `true` is not.
  const body = indented(requestBody(questions)).replace(/"with_options": true\n}$/, '"with_options": True\n}');
  const headers = `{"Content-Type": "application/json"${keyed ? ', "Authorization": f"Bearer {os.environ[\'API_KEY\']}"' : ""}}`;
  return [
    `import json${keyed ? "\nimport os" : ""}\nfrom urllib.request import Request, urlopen\n`,
    `body = ${body}`,
    `request = Request("${url}", json.dumps(body).encode(), ${headers})`,
    `for result in json.load(urlopen(request))["results"]:`,
    `    print(result["label"], round(result["score"], 3))`,
  ].join("\n");
}
