// Requests to the service that the page comes from. Knows no document.

import { recall, remember } from "./dom.js";

const MOST_TURNS = 20;
let key = recall("key") ?? "";

export const hasKey = () => Boolean(key);
export function setKey(value) {
  key = value.trim();
  remember("key", key);
}

// `status` is that of HTTP; 0 where the service was not reached.
export class ServiceError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }

  // Whether the service refuses these questions; else the same request may be answered later, or with a key.
  get isRefusal() {
    return [400, 413, 415, 422].includes(this.status);
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}

function sentence(status, answer) {
  if (status === 401) return key ? "This API key is not accepted." : "This service needs an API key.";
  return answer.error || `The service answered ${status}.`;
}

// Returns the answer. Asks a full queue again, after `onBusy(seconds)`. Throws ServiceError, or AbortError.
export async function ask(path, body, { signal, onBusy } = {}) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const options = body ? { method: "POST", headers, body: JSON.stringify(body), signal } : { headers, signal };
  for (let turn = 1; ; turn++) {
    let response;
    try {
      response = await fetch(path, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServiceError("This service cannot be reached; is it still running?", 0);
    }
    if (response.status === 429 && turn < MOST_TURNS) {
      const seconds = Math.min(Number(response.headers.get("Retry-After")) || 1, 10);
      onBusy?.(seconds);
      await pause(seconds, signal);
      continue;
    }
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    throw new ServiceError(sentence(response.status, answer), response.status);
  }
}
