// The dialog in which somebody shows a key or a token, and the button that says who it is.

import { byId, setText } from "./dom.js";
import { sentence } from "./format.js";
import { DEVICE_DAYS, session } from "./session.js";

export class SignIn {
  #dialog = byId("signin");
  #isBusy = false;

  // onChange(): somebody else looks at the page now.
  constructor(onChange) {
    this.onChange = onChange;
    byId("account").addEventListener("click", () => this.open());
    byId("signin-form").addEventListener("submit", (event) => this.#submit(event));
    byId("signin-close").addEventListener("click", () => this.#dialog.close());
    byId("signout").addEventListener("click", () => this.#signOut());
    setText(byId("keep-days"), `${DEVICE_DAYS} days`);
    session.addEventListener("change", () => this.show());
    this.show();
  }

  open(reason = "") {
    if (this.#dialog.open) return;
    this.#say(reason);
    this.show();
    this.#dialog.showModal();
  }

  show() {
    const { caller, hasCredential } = session;
    const who = caller === null ? "Not signed in" : `${caller.name}, ${caller.role}`;
    setText(byId("account-text"), caller === null ? "Sign in" : caller.role);
    byId("account").title = who;
    setText(byId("signin-who"), caller === null ? "This gateway asks for a key or a token." : `You are ${who}.`);
    byId("signout").hidden = !hasCredential;
  }

  async #submit(event) {
    event.preventDefault();
    if (this.#isBusy) return;
    const { secret, user, keep } = Object.fromEntries(new FormData(byId("signin-form")));
    if (!secret.trim()) return this.#say("Type a key or a token first");
    this.#isBusy = true;
    try {
      if (await session.signIn(secret.trim(), user.trim(), keep)) this.#done();
      else this.#say(session.reason);
    } catch (error) {
      this.#say(error.message);
    } finally {
      this.#isBusy = false;
    }
  }

  #done() {
    byId("signin-secret").value = "";
    this.#dialog.close();
    this.onChange();
  }

  async #signOut() {
    await session.signOut().catch(() => {});
    this.#dialog.close();
    this.onChange();
  }

  #say(reason) {
    byId("signin-reason").hidden = !reason;
    setText(byId("signin-reason"), sentence(reason));
    byId("signin-secret").ariaInvalid = String(Boolean(reason));
  }
}
