// Counts what a young isolate compiles and how often a warm one crosses between wasm and JavaScript, in the real runtime,
// and compares with benches/counts.json: budgets that are the same on every machine, loaded or not. `make counts` runs it;
// `UPDATE_COUNTS=1 make counts` records. docs/performance.md says what to do where a count is another.
//
// V8 compiles a function of the wasm when it is first called, and says so where a flag asks: the bodies of those are most
// of what a first exchange costs. What crosses is counted by a main module that wraps the imports and exports.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';

import { asking, jobTokens, settings } from '../benches/proxy.mjs';
import { exchange, INSTALLATION, ISSUER, JWK, POLICY, refusals, SETTINGS } from '../benches/support/fixtures.mjs';
import { startLoad, startMock, Workerd } from '../benches/support/processes.mjs';

const FILE = new URL('../benches/counts.json', import.meta.url);
const FOLDER = process.env.COUNTS_OF ?? 'build';
const TOLERANCE = 0.03;
const update = process.env.UPDATE_COUNTS !== undefined;

mkdirSync(new URL('../target/bench/', import.meta.url), { recursive: true });
const mock = await startMock({ jwk: JWK, policy: POLICY, issuer: ISSUER, installation: INSTALLATION });
const load = startLoad();

async function one(worker, request, status = 200) {
  const { statuses } = await load.run({ port: worker.port, requests: [request], callers: 1, count: 1 });
  if (statuses[status] !== 1) throw new Error(`not answered ${status} but ${JSON.stringify(statuses)}`);
}

/** Waits until nothing more is printed: what is done after an answer is done. */
async function quiet(worker) {
  for (let [length, same] = [-1, 0]; same < 4; ) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    same = worker.printed.length === length ? same + 1 : 0;
    length = worker.printed.length;
  }
}

/** Number and size of the functions that a new isolate compiles for its first exchange, by their numbers. */
async function compiled() {
  const worker = await Workerd.start({ folder: FOLDER, mock, settings: SETTINGS, kept: true, v8Flags: ['--trace-wasm-compilation-times'] });
  await quiet(worker);
  const before = worker.printed.length;
  await one(worker, exchange());
  await quiet(worker);
  await worker.stop();
  const found = worker.printed.slice(before).matchAll(/#(\d+) using Liftoff, .*; bodysize (\d+) /g);
  return [...found].map(([, index, bytes]) => ({ index: Number(index), bytes: Number(bytes) }));
}

/** The least of each, of a few: a collection of garbage calls destructors whenever it likes. */
async function crossings(request, status, settings = SETTINGS) {
  const worker = await Workerd.start({ folder: FOLDER, mock, settings, entry: COUNTING });
  for (let times = 0; times < 3; times++) await one(worker, exchange());
  await one(worker, request(), status);
  let least;
  for (let times = 0; times < 5; times++) {
    await counted(worker);
    await one(worker, request(), status);
    // What is done after the answer is counted too.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const counts = await counted(worker);
    if (!least || sum(counts) < sum(least)) least = counts;
  }
  await worker.stop();
  return least;
}

/** What was called since the last time. */
async function counted(worker) {
  const answer = await fetch(`http://127.0.0.1:${worker.port}/counted`);
  return answer.json();
}

const COUNTING = `
const calls = new Map();
const counting = (name, of) => function (...values) {
  calls.set(name, (calls.get(name) ?? 0) + 1);
  return of.apply(this, values);
};
// Names end with a hash of the release of wasm-bindgen.
const named = (name) => name.replace(/_+h?[0-9a-f]{16}$/, '').replace(/^_+(wbg|wbindgen|wasm_bindgen__convert__closures)_+/, '');
const wrapped = (functions, direction) => Object.fromEntries(Object.entries(functions).map(([name, value]) =>
  [name, typeof value === 'function' ? counting(direction + named(name), value) : value]));
WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
  construct(Instance, [module, imports]) {
    const outward = Object.fromEntries(Object.entries(imports).map(([name, functions]) => [name, wrapped(functions, 'out ')]));
    return { exports: wrapped(new Instance(module, outward).exports, 'in ') };
  },
});
const worker = await import('./index.js');
export const { UsedToken, ProxyBudget } = worker;
export default {
  fetch(request, env, context) {
    if (!request.url.endsWith('/counted')) return worker.default.fetch(request, env, context);
    const counts = Object.fromEntries(calls);
    calls.clear();
    return Response.json(counts);
  },
};
`;

const sum = (counts, direction = '') => Object.entries(counts).reduce((all, [name, count]) => (name.startsWith(direction) ? all + count : all), 0);
const total = (functions) => functions.reduce((all, { bytes }) => all + bytes, 0);

/** The largest functions by name, where the build left a map. */
function largest(functions) {
  const map = new URL('../target/functions.map', import.meta.url);
  const names = new Map(existsSync(map) ? [...readFileSync(map, 'utf8').matchAll(/^(\d+):(.*)$/gm)].map(([, index, name]) => [Number(index), name]) : []);
  const readable = (name) => name.replace(/\\([0-9a-f]{2})/g, (_, code) => String.fromCharCode(parseInt(code, 16))).replace(/::h[0-9a-f]{16}$/, '');
  const lines = [...functions].sort((a, b) => b.bytes - a.bytes).map(({ index, bytes }) => `  ${bytes} ${readable(names.get(index) ?? `function ${index}`)}`);
  return lines.slice(0, 25).join('\n');
}

const emptyKv = await compiled();
const filledKv = await compiled();
const warm = await crossings(() => exchange());
const [, denied, status] = refusals().find(([name]) => name === 'policy denied');
const refused = await crossings(() => denied, status);
const [job] = jobTokens();
const proxied = await crossings(() => asking(job), 200, settings());
mock.stop();
load.stop();

const rustc = execFileSync('rustc', ['--version']).toString().trim();
const now = {
  rustc,
  'wasm bytes that a first exchange compiles, empty KV': total(emptyKv),
  'functions that a first exchange compiles, empty KV': emptyKv.length,
  'wasm bytes that a first exchange compiles, filled KV': total(filledKv),
  'functions that a first exchange compiles, filled KV': filledKv.length,
  'calls into JavaScript, warm exchange': sum(warm, 'out '),
  'calls into wasm, warm exchange': sum(warm, 'in '),
  'calls into JavaScript, refusal by the policy': sum(refused, 'out '),
  'calls into wasm, refusal by the policy': sum(refused, 'in '),
  'calls into JavaScript, warm request through the proxy': sum(proxied, 'out '),
  'calls into wasm, warm request through the proxy': sum(proxied, 'in '),
  crossings: Object.fromEntries(Object.entries(warm).sort()),
};
if (process.env.COUNTS_SHOW) console.log(largest(emptyKv));
if (update) {
  writeFileSync(FILE, `${JSON.stringify(now, null, 2)}\n`);
  for (const [name, count] of Object.entries(now)) if (typeof count === 'number') console.log(`${String(count).padStart(8)}  ${name}`);
  process.exit(0);
}

const recorded = JSON.parse(readFileSync(FILE, 'utf8'));
if (recorded.rustc !== rustc) {
  console.log(`counts: ${process.env.CI === 'true' ? '' : 'SKIPPED, '}they are of ${recorded.rustc}, this is ${rustc}`);
  process.exit(process.env.CI === 'true' ? 1 : 0);
}
let failed = false;
for (const [name, count] of Object.entries(now)) {
  if (typeof count !== 'number') continue;
  const budget = recorded[name];
  // Calls are counted exactly. What is compiled depends a little on which answer comes first.
  const tolerance = name.startsWith('calls') ? 0 : TOLERANCE;
  const share = (count - budget) / budget;
  console.log(`${String(count).padStart(8)}  ${name}`);
  if (Math.abs(share) <= tolerance) continue;
  failed = true;
  console.error(`${name}: ${count}, recorded are ${budget} (${share > 0 ? '+' : ''}${(share * 100).toFixed(1)} %)`);
}
if (failed) {
  for (const name of new Set([...Object.keys(warm), ...Object.keys(recorded.crossings)])) {
    const [is, was] = [warm[name] ?? 0, recorded.crossings[name] ?? 0];
    if (is !== was) console.error(`  ${name}: ${is}, was ${was}`);
  }
  console.error(`the largest functions that a first exchange compiles:\n${largest(emptyKv)}`);
  console.error('a count that rose by accident is moved aside; one that is meant to be so is recorded: UPDATE_COUNTS=1 make counts');
  process.exit(1);
}
