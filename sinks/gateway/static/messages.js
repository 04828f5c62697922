// Exact text in: prices and quantities stay the digits that the exchange sent. They are read as
// text, and become floats only as coordinates on a chart or as the length of a bar.

const NAMED = new RegExp(
  `"(open|high|low|close|(?:taker_buy_)?(?:quote_)?volume|price|qty|(?:bid|ask)_(?:price|qty)|spread|mid|(?:high|low|last)_price|change(?:_percent)?)"\\s*:\\s*(-?\\d[\\d.eE+-]*)`,
  "g");
const LEVEL = /\[\s*(-?\d[\d.eE+-]*)\s*,\s*(-?\d[\d.eE+-]*)\s*\]/g;

export function parseMessage(text) {
  const named = text.replace(NAMED, '"$1":"$2"');
  return JSON.parse(named.includes('"bids"') ? named.replace(LEVEL, '["$1","$2"]') : named);
}
