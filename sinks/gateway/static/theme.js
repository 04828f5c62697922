// Dark or light: as the system says, until somebody says otherwise on this device.

import { device } from "./memory.js";

const NAME = "theme";
const system = matchMedia("(prefers-color-scheme: dark)");
let chosen = device.read(NAME);

function current() {
  return chosen ?? (system.matches ? "dark" : "light");
}

function apply() {
  document.documentElement.style.colorScheme = current();
  document.documentElement.dataset.theme = current();
}

// changed(): colours are other ones now.
export function followTheme(changed) {
  system.addEventListener("change", () => { apply(); changed(); });
  apply();
  return () => {
    chosen = current() === "dark" ? "light" : "dark";
    device.keep(NAME, chosen);
    apply();
    changed();
  };
}
