// Takes the place of the runtime's `queueMicrotask` for the bindings (esbuild's `inject`), which call it whenever a future
// goes on: the runtime's own wraps the function each time, for fifteen times the instructions.

const settled = Promise.resolve();

/**
 * Like the global one: what the function throws is an `error` event, before anything else that waits runs.
 * Otherwise that work would run in a broken module after a trap.
 */
export function queueMicrotask(work) {
  settled.then(() => {
    try {
      work();
    } catch (error) {
      reportError(error);
    }
  });
}
