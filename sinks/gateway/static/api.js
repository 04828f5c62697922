// Calls of the gateway's REST API. What it refuses is thrown in its own words.

import { parseMessage } from "./messages.js";
import { session } from "./session.js";

const TIMEOUT_MS = 15_000;

export class Refusal extends Error {
  constructor(status, reason, near = []) {
    super(reason);
    this.status = status;
    this.near = near;
  }

  // Asked again later it would be refused again.
  get isFinal() {
    return this.status >= 400 && this.status < 500 && this.status !== 429;
  }
}

export async function call(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { ...session.headers(), ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new Refusal(0, "the gateway does not answer");
  }
  const told = await answer.text().then(parseMessage).catch(() => null);
  if (answer.ok) return told;
  if (answer.status === 401 && session.hasCredential) session.check().catch(() => {}); // expired, perhaps
  const { reason, near } = described(told?.detail, answer);
  throw new Refusal(answer.status, reason, near);
}

function described(detail, answer) {
  const after = answer.headers.get("Retry-After");
  const wait = after && answer.status === 429 ? `; ask again in ${after} s` : "";
  if (typeof detail === "string") return { reason: detail + wait, near: [] };
  if (Array.isArray(detail)) return { reason: detail.map(({ loc, msg }) => `${loc.slice(1).join(".")}: ${msg}`).join("; "), near: [] };
  return { reason: (detail?.reason ?? `the gateway answered ${answer.status}`) + wait, near: detail?.near ?? [] };
}

export const get = (path, query = {}) => {
  const said = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined && value !== ""));
  return call("GET", said.size ? `${path}?${said}` : path);
};
