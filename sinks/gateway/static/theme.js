// Dark or light: as the system says, until somebody says otherwise on this device.

const NAME = "theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function current() {
  return localStorage.getItem(NAME) ?? (system.matches ? "dark" : "light");
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
    localStorage.setItem(NAME, current() === "dark" ? "light" : "dark");
    apply();
    changed();
  };
}
