// The active market: its day, its order book, its trades.

import { Book } from "./book.js";
import { Day } from "./day.js";
import { Tape } from "./tape.js";

export const market = {
  name: "market",
  title: "Market",
  key: "b",
  icon: "M2 4h14M2 7.3h9M2 10.7h11M2 14h6",

  show(body, { feed }) {
    const parts = [new Day(feed), new Book(feed), new Tape(feed)];
    body.append(...parts.map((part) => part.element));
    return {
      follow: (chosen) => parts.forEach((part) => part.follow(chosen)),
      close: () => parts.forEach((part) => part.leave()),
    };
  },
};
