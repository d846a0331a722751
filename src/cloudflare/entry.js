// What the runtime calls. The wasm module does the work; this starts it anew after a panic, which aborts it: the requests in
// flight are lost with it, the next one is not.

import { DurableObject } from 'cloudflare:workers';

import * as worker from './index.js';

// The module's own record: a panic sets `criticalError`, a new start counts `instanceId` up.
const state = worker.__worker_init_state();

function renew() {
  if (!state.criticalError) return;
  console.log('{"level":"error","message":"the module is started anew after a panic"}');
  worker.__wbg_reset_state();
  state.criticalError = false;
  state.instanceId += 1;
}

/**
 * A trap is the end of the module, wherever it shows. The next one starts at once: the bindings would start it too, when a
 * promise of a request in flight settles, but then call it with an address in the old one's memory.
 */
function noted(error) {
  if (error instanceof WebAssembly.RuntimeError) {
    state.criticalError = true;
    renew();
  }
  return error;
}

addEventListener('error', ({ error }) => {
  noted(error);
});

async function guarded(work) {
  try {
    return await work();
  } catch (error) {
    throw noted(error);
  }
}

export default {
  fetch(request, env, context) {
    renew();
    const answer = guarded(() => worker.fetch(request, env, context));
    // Otherwise, a caller that hangs up would freeze the waiting handler: its event would not be written, and its memory
    // never freed. The other routes see to it themselves, and for their clean-up too.
    if (request.url.includes('/proxy/')) context.waitUntil(answer.catch(() => {}));
    return answer;
  },
};

/** A Durable Object's class whose inside is made again when the module was. */
const durable = (name) =>
  class extends DurableObject {
    #inside;
    #madeBy;
    #arguments;

    constructor(context, env) {
      super(context, env);
      this.#arguments = [context, env];
    }

    #object() {
      renew();
      if (this.#madeBy !== state.instanceId) {
        this.#inside = new worker[name](...this.#arguments);
        this.#madeBy = state.instanceId;
      }
      return this.#inside;
    }

    fetch(request) {
      return guarded(() => this.#object().fetch(request));
    }

    alarm(info) {
      return guarded(() => this.#object().alarm(info));
    }
  };

export const UsedToken = durable('UsedToken');
export const ProxyBudget = durable('ProxyBudget');
