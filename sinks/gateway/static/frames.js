// However often something changes, it is drawn some times a second, and one frame draws only so
// much: what does not fit waits for the next. A hidden page has no frames, but a title.

const BUDGET_MS = 6;
const HIDDEN_MS = 1_000;
const OFTEN_MS = 40;
export const CALM_MS = 120; // what is read, and not watched

const waiting = new Map(); // what to draw: not before when
let isAwake = false;

// Returns what asks for a drawing; everyMs: never sooner after the one before.
export function perFrame(draw, everyMs = OFTEN_MS) {
  let drawnMs = -Infinity;
  const run = () => {
    drawnMs = performance.now();
    draw();
  };
  return () => {
    if (waiting.has(run)) return;
    waiting.set(run, drawnMs + everyMs);
    wake();
  };
}

function wake() {
  if (isAwake) return;
  isAwake = true;
  if (document.hidden) return setTimeout(frame, HIDDEN_MS);
  const soonest = Math.min(...waiting.values()) - performance.now();
  if (soonest > 16) setTimeout(() => requestAnimationFrame(frame), soonest - 8);
  else requestAnimationFrame(frame);
}

function frame() {
  isAwake = false;
  const begunMs = performance.now();
  try {
    for (const [run, dueMs] of [...waiting]) {
      if (dueMs > begunMs + 8) continue;
      if (performance.now() - begunMs > BUDGET_MS) break;
      waiting.delete(run);
      run();
    }
  } finally {
    if (waiting.size) wake(); // one that throws is alone with it
  }
}
