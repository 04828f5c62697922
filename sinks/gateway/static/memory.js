// What the browser remembers for this page: on this device, or until the tab is closed. Where it
// may remember nothing, the page works without.

class Memory {
  // storage(): reading it throws where the browser blocks it.
  constructor(storage) {
    this.storage = storage;
  }

  read(name) {
    return this.#try((storage) => storage.getItem(name)) ?? null;
  }

  keep(name, text) {
    this.#try((storage) => storage.setItem(name, text));
  }

  forget(name) {
    this.#try((storage) => storage.removeItem(name));
  }

  #try(use) {
    try {
      return use(this.storage());
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      return null;
    }
  }
}

export const device = new Memory(() => localStorage);
export const tab = new Memory(() => sessionStorage);
