// Who this page is to the gateway. A key is kept where the person said, and only so long; it goes
// into headers and the first message of the WebSocket, never into an address.

import { device, tab } from "./memory.js";

const NAME = "credential";
const TIMEOUT_MS = 6_000;
export const DEVICE_DAYS = 7;
const ROLES = ["nobody", "viewer", "operator", "admin"];

class Session extends EventTarget {
  caller = null; // {name, role}, as the gateway sees it
  isOpen = false; // it answers readers without a key, too
  reason = ""; // why the last credential was refused
  #credential = restored();

  get hasCredential() {
    return this.#credential !== null;
  }

  may(role) {
    return this.caller !== null && ROLES.indexOf(this.caller.role) >= ROLES.indexOf(role);
  }

  headers(credential = this.#credential) {
    if (credential === null) return {};
    const { secret, user } = credential;
    return user ? { "X-API-Key": secret, "X-Auth-User": user } : { Authorization: `Bearer ${secret}` };
  }

  // The first message of a WebSocket; null where none is wanted.
  opening() {
    if (this.isOpen || this.#credential === null) return null;
    const { secret, user } = this.#credential;
    const isToken = secret.split(".").length === 3 && !secret.startsWith("fib_");
    return { action: "auth", [isToken ? "token" : "key"]: secret, ...(user && { user }) };
  }

  // Ask the gateway who this is; throws while it does not answer. True: readers are let in.
  async check() {
    const credential = this.#credential; // meanwhile somebody may show another one
    if (credential !== null && (await this.#tryOn(credential)) === null && credential === this.#credential) this.#forget();
    const anonymous = await whoami({});
    this.isOpen = anonymous.ok;
    if (this.#credential === null) this.#become(anonymous.ok ? await anonymous.json() : null);
    return this.caller !== null;
  }

  async signIn(secret, user, keep) {
    const credential = { secret, user };
    const caller = await this.#tryOn(credential);
    if (caller === null) return false;
    this.#credential = credential;
    keptIn(keep, credential);
    this.#become(caller);
    return true;
  }

  async signOut() {
    this.#forget();
    this.reason = "";
    await this.check();
  }

  async #tryOn(credential) {
    const answer = await whoami(this.headers(credential));
    if (answer.ok) {
      const caller = await answer.json();
      if (credential === this.#credential) this.#become(caller);
      return caller;
    }
    this.reason = (await answer.json().catch(() => null))?.detail?.reason ?? `the gateway answered ${answer.status}`;
    if (answer.status !== 401) throw new Error(this.reason); // 403 is of the place, not of the key
    return null;
  }

  #forget() {
    this.#credential = null;
    keptIn("page", null);
  }

  #become(caller) {
    const changed = JSON.stringify(caller) !== JSON.stringify(this.caller);
    this.caller = caller;
    if (changed) this.dispatchEvent(new Event("change"));
  }
}

async function whoami(headers) {
  try {
    return await fetch("/api/v1/whoami", { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new Error("the gateway does not answer");
  }
}

function keptIn(keep, credential) {
  tab.forget(NAME);
  device.forget(NAME);
  const untilMs = Date.now() + DEVICE_DAYS * 86_400_000;
  if (keep === "tab") tab.keep(NAME, JSON.stringify({ credential, untilMs }));
  if (keep === "device") device.keep(NAME, JSON.stringify({ credential, untilMs }));
}

function restored() {
  const kept = tab.read(NAME) ?? device.read(NAME);
  if (kept === null) return null;
  const { credential, untilMs } = JSON.parse(kept);
  if (untilMs > Date.now()) return credential;
  keptIn("page", null);
  return null;
}

export const session = new Session();
