// Wraps the built Worker inside each isolate of the soak. The Worker itself is the released bytes; its view of the
// platform goes through here:
//
// * the clock: each request brings its own time, so that hours of the caches' life pass in minutes;
// * `fetch`: every outbound request says which request of ours it is made for;
// * KV: the real binding, with expiry by that clock, and an operation that throws where the request says so;
// * the log and `waitUntil`: the answer waits for the work after it, and brings along what was logged and asked of KV.

import { AsyncLocalStorage } from 'node:async_hooks';
import { WorkerEntrypoint } from 'cloudflare:workers';

import { memory } from './memory.mjs';
import Worker from './index.js';

const current = new AsyncLocalStorage();
const { Date: PlatformDate, fetch, queueMicrotask, setTimeout } = globalThis;
const platform = { Date: PlatformDate, fetch, queueMicrotask, setTimeout, then: Promise.prototype.then };

globalThis.Date = class extends platform.Date {
  constructor(...of) {
    super(...(of.length > 0 ? of : [globalThis.Date.now()]));
  }

  static now() {
    return current.getStore()?.now ?? platform.Date.now();
  }
};


// The Worker's futures continue in microtasks shared by all requests of the isolate, so that one could continue under
// the name of another. Here each continues in the turn of the event that it waited for.
const turns = [];
let isTurning = false;

function goOn() {
  if (isTurning) return;
  isTurning = true;
  while (turns.length > 0) turns.shift()();
  isTurning = false;
}

const event = (callback) =>
  typeof callback === 'function'
    ? (...of) => {
        const value = callback(...of);
        goOn();
        return value;
      }
    : callback;

globalThis.queueMicrotask = (turn) => {
  turns.push(turn);
  platform.queueMicrotask.call(globalThis, goOn);
};
globalThis.setTimeout = (callback, ...of) => platform.setTimeout.call(globalThis, event(callback), ...of);
Promise.prototype.then = function (kept, broken) {
  return platform.then.call(this, event(kept), event(broken));
};

globalThis.fetch = (url, init) => {
  init.headers.set('x-soak-request', current.getStore().id);
  return platform.fetch.call(globalThis, url, init);
};

for (const level of ['debug', 'error', 'info', 'log', 'warn']) {
  console[level] = (line) => current.getStore()?.lines.push(line);
}

/** The namespace of one request. */
class Kv {
  #namespace;
  #request;

  constructor(namespace, request) {
    this.#namespace = namespace;
    this.#request = request;
  }

  /** One key, or several in one operation, as a `Map`. */
  async get(keys) {
    const names = [keys].flat();
    const entry = this.#note('get', names[0]);
    const found = await Promise.all(names.map((name) => this.#namespace.getWithMetadata(name)));
    const values = found.map(({ value, metadata }) => (value !== null && metadata.until > this.#request.now ? value : null));
    entry[2] = values[0] === null ? 'miss' : 'hit';
    return Array.isArray(keys) ? new Map(names.map((name, at) => [name, values[at]])) : values[0];
  }

  async put(key, text, { expirationTtl }) {
    this.#note('put', key);
    const metadata = { until: this.#request.now + expirationTtl * 1000 };
    // The simulator uses its own clock, which is slower: nothing may expire before its time.
    return this.#namespace.put(key, text, { expirationTtl: Math.max(expirationTtl, 3600), metadata });
  }

  async delete(key) {
    this.#note('delete', key);
    return this.#namespace.delete(key);
  }

  #note(operation, key) {
    const fails = this.#request.kv.length === this.#request.failingKv;
    const entry = [operation, key, fails ? 'fault' : 'done'];
    this.#request.kv.push(entry);
    if (fails) throw new Error(`KV ${operation} failed: 500 injected`);
    return entry;
  }
}

export default class extends WorkerEntrypoint {
  async fetch(incoming) {
    const headers = new Headers(incoming.headers);
    const request = {
      id: headers.get('x-soak-request'),
      now: Number(headers.get('x-soak-now')),
      failingKv: Number(headers.get('x-soak-failing-kv') ?? -1),
      kv: [],
      lines: [],
    };
    for (const name of ['x-soak-request', 'x-soak-now', 'x-soak-failing-kv']) headers.delete(name);
    const after = [];
    const env = { ...this.env, OCTO_STS_KV: new Kv(this.env.OCTO_STS_KV, request) };
    const context = { waitUntil: (work) => void after.push(work), passThroughOnException() {}, props: {} };
    return current.run(request, async () => {
      const answering = Worker.fetch(new Request(incoming, { headers }), env, context);
      goOn();
      const answer = await answering;
      const body = await answer.text();
      // Finished work may have deferred more.
      let lost = 0;
      while (after.length > 0) {
        const ended = await Promise.allSettled(after.splice(0));
        lost += ended.filter(({ status }) => status === 'rejected').length;
      }
      const { kv, lines } = request;
      return Response.json({ status: answer.status, headers: Object.fromEntries(answer.headers), body, kv, lines, lost, memory: memory() });
    });
  }
}
