// The entry and the queue of the bindings on the real runtime, around a module that stands in for the bindings: after a
// trap the module is new before anything else runs, because what runs then would call into a broken module.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';

import { Log, LogLevel, Miniflare } from 'miniflare';

const source = (name) => readFileSync(fileURLToPath(new URL(`../../src/cloudflare/${name}`, import.meta.url)), 'utf8');

/** Bindings whose requests trap where their path says so. `broken` is what a call finds. */
const BINDINGS = `
  import { queueMicrotask } from './queue.js';
  const state = { criticalError: false, instanceId: 0 };
  let broken = false;
  let traps = 0;
  const trap = () => { broken = true; traps += 1; throw new WebAssembly.RuntimeError('unreachable'); };
  export const __worker_init_state = () => state;
  export const __wbg_reset_state = () => { broken = false; };
  const found = () => Response.json({ broken, traps, instanceId: state.instanceId });
  export class UsedToken {}
  export class ProxyBudget { fetch() { trap(); } }
  const behaviours = {
    '/proxy/queued': () => new Promise((resolve) => {
      const trapped = Promise.resolve().then(() => queueMicrotask(trap));
      // Runs right behind the trap, as a promise of another request would.
      trapped.then(() => resolve(found()));
    }),
    '/proxy/at-once': trap,
    '/proxy/rejected': async () => { await null; trap(); },
    '/proxy/object': (env) => env.PROXY_BUDGETS.get(env.PROXY_BUDGETS.idFromName('a')).fetch('https://object.invalid/').catch(found),
    '/proxy/fails': () => { throw new Error('no trap'); },
    '/': found,
  };
  export const fetch = (request, env) => behaviours[new URL(request.url).pathname](env);`;

let miniflare;

before(async () => {
  miniflare = new Miniflare({
    modules: [
      { type: 'ESModule', path: 'entry.js', contents: source('entry.js') },
      { type: 'ESModule', path: 'queue.js', contents: source('queue.js') },
      { type: 'ESModule', path: 'index.js', contents: BINDINGS },
    ],
    compatibilityDate: '2026-04-01',
    durableObjects: { PROXY_BUDGETS: { className: 'ProxyBudget', useSQLite: true } },
    log: new Log(LogLevel.NONE),
    handleStructuredLogs: () => {},
  });
  await miniflare.ready;
});
after(() => miniflare?.dispose());

const get = (path) => miniflare.dispatchFetch(`https://sts.example.com${path}`);

test('a trap is the end of the module, wherever it shows, and the next one starts at once', async () => {
  let module = await (await get('/')).json();
  assert.deepEqual(module, { broken: false, traps: 0, instanceId: 0 });
  const paths = { '/proxy/queued': 200, '/proxy/at-once': 500, '/proxy/rejected': 500, '/proxy/object': 200 };
  for (const [path, status] of Object.entries(paths)) {
    const answer = await get(path);
    const text = await answer.text();
    const expected = { broken: false, traps: module.traps + 1, instanceId: module.instanceId + 1 };
    assert.equal(answer.status, status, path);
    if (status === 200) assert.deepEqual(JSON.parse(text), expected, path);
    module = await (await get('/')).json();
    assert.deepEqual(module, expected, path);
  }
  assert.equal((await get('/proxy/fails')).status, 500);
  assert.deepEqual(await (await get('/')).json(), module, 'an error is no trap');
});
