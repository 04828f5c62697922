// A panel that asks the gateway now and then, while it is open and somebody looks.

import { Refusal } from "../api.js";
import { session } from "../session.js";

// ask(): a promise of what to show; show(answer); fail(words). Returns {now, stop}.
export function asking(everyMs, { ask, show, fail }) {
  let isStopped = false;
  let number = 0;
  const now = async () => {
    if (document.hidden || isStopped) return;
    const mine = ++number;
    try {
      const answer = await ask();
      if (!isStopped && mine === number) show(answer); // an older answer says less
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (!isStopped && mine === number) fail(error.message);
    }
  };
  const timer = setInterval(now, everyMs);
  session.addEventListener("change", now);
  now();
  return {
    now,
    stop() {
      isStopped = true;
      clearInterval(timer);
      session.removeEventListener("change", now);
    },
  };
}
