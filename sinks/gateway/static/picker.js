// The symbol dialog: type to search, arrows and Enter to choose. Hundreds of symbols are fine.

const SHOWN_MAX = 100;

export class Picker {
  #markets = [];
  #shown = [];
  #active = 0;
  #current = null;

  constructor(dialog, { onChoose, load }) {
    this.dialog = dialog;
    this.search = dialog.querySelector("input");
    this.list = dialog.querySelector("ul");
    this.note = dialog.querySelector("p");
    this.onChoose = onChoose;
    this.load = load;
    this.search.addEventListener("input", () => this.#show(0));
    this.search.addEventListener("keydown", (event) => this.#onKey(event));
    this.list.addEventListener("click", (event) => this.#choose(event.target.closest("li")?.dataset.index));
    this.list.addEventListener("pointermove", (event) => {
      const index = event.target.closest("li")?.dataset.index;
      if (index !== undefined) this.#activate(Number(index));
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  // known: what can be chosen as far as is known; the newest is asked for meanwhile.
  async open(current, known) {
    this.#current = current;
    this.#markets = known;
    this.search.value = "";
    this.dialog.showModal();
    this.#show(0);
    this.#markets = await this.load();
    this.#show(this.#active);
  }

  #show(active) {
    const words = this.search.value.trim().toUpperCase().split(/\s+/);
    const text = (m) => `${m.symbol} ${m.exchange} ${m.channel}`.toUpperCase();
    const found = this.#markets.filter((m) => words.every((word) => text(m).includes(word)));
    const begins = (m) => (m.symbol.toUpperCase().startsWith(words[0]) ? 0 : 1);
    found.sort((a, b) => begins(a) - begins(b));
    this.#shown = found.slice(0, SHOWN_MAX);
    this.list.replaceChildren(...this.#shown.map((market, index) => this.#item(market, index)));
    this.note.textContent = this.#words(found.length);
    this.#activate(active);
  }

  #words(found) {
    if (this.#markets.length === 0) return "No candles yet: no symbol has traded since the start.";
    if (found === 0) return `Nothing matches \u201c${this.search.value.trim()}\u201d. ${this.#markets.length} symbols are streamed.`;
    if (found > SHOWN_MAX) return `${found - SHOWN_MAX} more: type to narrow the list.`;
    return "";
  }

  #item(market, index) {
    const item = document.createElement("li");
    item.id = `symbol-${index}`;
    item.role = "option";
    item.dataset.index = index;
    item.dataset.testid = `option-${market.exchange}-${market.channel}-${market.symbol}`;
    const name = document.createElement("span");
    name.textContent = market.symbol;
    const c = this.#current;
    const isCurrent = c && c.symbol === market.symbol && c.exchange === market.exchange && c.channel === market.channel;
    if (isCurrent) name.className = "current";
    const venue = document.createElement("span");
    venue.className = "venue";
    venue.textContent = `${market.exchange} \u00b7 ${market.channel}`;
    item.append(name, venue);
    return item;
  }

  #activate(index) {
    this.#active = Math.max(Math.min(index, this.#shown.length - 1), 0);
    for (const [position, item] of [...this.list.children].entries()) {
      item.ariaSelected = String(position === this.#active);
    }
    const active = this.list.children[this.#active];
    active?.scrollIntoView({ block: "nearest" });
    if (active) this.search.setAttribute("aria-activedescendant", active.id);
    else this.search.removeAttribute("aria-activedescendant");
  }

  #onKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (step) this.#activate(this.#active + step);
    else if (event.key === "Enter") this.#choose(this.#active);
    else return;
    event.preventDefault();
  }

  #choose(index) {
    const market = this.#shown[index];
    if (!market) return;
    this.dialog.close();
    this.onChoose(market);
  }
}
