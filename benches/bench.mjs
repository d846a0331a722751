// `make bench`: the built Worker compared with the floor and the empty Worker, in raw workerd, in one run. They are
// measured alternately, round after round, so that other load on the machine affects all of them equally.
// docs/performance.md says how to read it. `node benches/bench.mjs [SECTION …]` runs parts.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { proxy } from './proxy.mjs';
import { exchange, health, INSTALLATION, ISSUER, JWK, POLICY, push, refusals, SETTINGS, token } from './support/fixtures.mjs';
import { startLoad, startMock, Workerd } from './support/processes.mjs';
import { render } from './support/render.mjs';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const OUT = `${ROOT}target/bench`;
/** `QUICK=1` is for a look at a change: a quarter of the time, and figures that are rougher. */
const QUICK = Boolean(process.env.QUICK);
const [ROUNDS, SECONDS, YOUNG] = QUICK ? [3, 1, 9] : [5, 2, 25];

/** The Worker and its comparisons. `none` is the runtime with a Worker of one line of JavaScript. */
const FOLDERS = { service: 'build', floor: 'target/floor', empty: 'target/empty', none: undefined };

const begun = Date.now();
const say = (text) => process.stderr.write(`[${String(Math.round((Date.now() - begun) / 1000)).padStart(4)} s] ${text}\n`);

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length % 2 ? sorted[(sorted.length - 1) / 2] : (sorted[sorted.length / 2 - 1] + sorted[sorted.length / 2]) / 2;
};
const medians = (rows) => Object.fromEntries(Object.keys(rows[0]).map((name) => [name, median(rows.map((row) => row[name]))]));

const mock = await startMock({ jwk: JWK, policy: POLICY, issuer: ISSUER, installation: INSTALLATION });
const load = startLoad();
const start = (name) => Workerd.start({ folder: FOLDERS[name], mock, settings: SETTINGS });

/** Requests whose answers must have a given status; resolves to their cost. */
async function measured(worker, requests, work, status = 200) {
  const [cpu, asked] = [worker.cpu(), await mock.requests()];
  const { count, seconds, statuses, p50, p99 } = await load.run({ port: worker.port, requests, ...work });
  if (statuses[status] !== count) throw new Error(`answers that were not expected: ${JSON.stringify(statuses)}`);
  return {
    perSecond: count / seconds,
    cpuMs: (worker.cpu() - cpu) / count,
    p50,
    p99,
    requests: ((await mock.requests()) - asked) / count,
  };
}

/** Every variant in turn, round after round; resolves to the medians of each. */
async function interleaved(variants, rounds = ROUNDS) {
  const rows = variants.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, { worker, requests, work, status }] of variants.entries()) {
      rows[index].push(await measured(worker, requests, work, status));
    }
  }
  return Object.fromEntries(variants.map(({ name }, index) => [name, { ...medians(rows[index]), rounds: rows[index] }]));
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 120));

/** V8 recompiles hot code in its own time; until then the figures fall. */
const warmUp = (worker, requests) => load.run({ port: worker.port, requests, callers: 16, count: 10_000, seconds: 15 });

/** Different tokens of one job: a token is one of many. */
const exchanges = () => Array.from({ length: 16 }, () => exchange());

const sections = {
  async warm() {
    const requests = exchanges();
    const workers = { service: await start('service'), floor: await start('floor'), empty: await start('empty') };
    for (const worker of Object.values(workers)) await warmUp(worker, requests);
    const results = {};
    for (const callers of [1, 16, 64]) {
      say(`warm exchanges, ${callers} at once`);
      const work = { callers, seconds: SECONDS };
      const variants = Object.entries(workers).map(([name, worker]) => ({ name, worker, requests, work }));
      results[callers] = await interleaved(variants);
    }
    for (const worker of Object.values(workers)) await worker.stop();
    return results;
  },

  async refusals() {
    say('refusals at each step, 16 at once');
    const worker = await start('service');
    await warmUp(worker, exchanges());
    const work = { callers: 16, seconds: 0.8 };
    const variants = refusals().map(([name, request, status]) => ({ name, worker, requests: [request], work, status }));
    for (const { requests } of variants) await load.run({ port: worker.port, requests, callers: 16, count: 3000, seconds: 2 });
    const results = await interleaved([{ name: 'grant', worker, requests: exchanges(), work }, ...variants]);
    await worker.stop();
    return results;
  },

  /** What an isolate that has just started spends on its first twelve exchanges. */
  async young() {
    say('the young isolate: its first twelve exchanges');
    const variants = { 'service, empty KV': 'service', 'service, filled KV': 'service', floor: 'floor', empty: 'empty' };
    const rows = Object.fromEntries(Object.keys(variants).map((name) => [name, []]));
    for (let round = 0; round < YOUNG; round++) {
      await mock.forget();
      for (const [name, folder] of Object.entries(variants)) {
        const worker = await start(folder);
        await settled();
        const spent = {};
        for (const [which, count] of [['first', 1], ['second', 1], ['next', 10]]) {
          const [main, all] = [worker.cpuOfMain(), worker.cpuOfThreads()];
          const { p50, requests } = await measured(worker, exchanges(), { callers: 1, count });
          // The work after the answer: what KV is told, the tokens that are given back, and what V8 compiles in the background.
          await settled();
          spent[`${which}Main`] = (worker.cpuOfMain() - main) / count;
          spent[`${which}All`] = (worker.cpuOfThreads() - all) / count;
          spent[`${which}Ms`] = p50;
          spent[`${which}Requests`] = requests;
        }
        rows[name].push(spent);
        await worker.stop();
      }
    }
    return Object.fromEntries(Object.entries(rows).map(([name, of]) => [name, { ...medians(of), rounds: of }]));
  },

  async startUp() {
    say('start-up, from the start of the process to the first answer');
    const rows = { none: [], empty: [], floor: [], service: [] };
    for (let round = 0; round < 15; round++) {
      for (const name of Object.keys(rows)) {
        const worker = await start(name);
        await load.run({ port: worker.port, requests: [health], callers: 1, count: 1 });
        rows[name].push({ ms: Number(process.hrtime.bigint() - worker.began) / 1e6, cpuMs: worker.cpuOfThreads(), memory: worker.memory() });
        await worker.stop();
      }
    }
    return Object.fromEntries(Object.entries(rows).map(([name, of]) => [name, { ...medians(of), rounds: of }]));
  },

  async push() {
    say('pushes of one policy');
    const worker = await start('service');
    await load.run({ port: worker.port, requests: [push(1)], callers: 4, count: 1500, seconds: 8 });
    const results = {};
    for (const callers of [1, 16]) {
      const variants = [{ name: 'push', worker, requests: [push(1)], work: { callers, seconds: 1.5 } }];
      results[callers] = (await interleaved(variants)).push;
    }
    await worker.stop();
    return results;
  },

  async growthOfPushes() {
    const worker = await start('service');
    await load.run({ port: worker.port, requests: [push(20)], callers: 4, count: 200, seconds: 8 });
    const points = [];
    for (const policies of [1, 2, 5, 10, 20, 50, 100]) {
      say(`pushes of ${policies} policies`);
      const work = { callers: 1, count: Math.max(12, Math.ceil(640 / policies)) };
      const { push: of } = await interleaved([{ name: 'push', worker, requests: [push(policies)], work }], 3);
      points.push({ x: policies, cpuMs: of.cpuMs, p50: of.p50, requests: of.requests });
    }
    await worker.stop();
    return points;
  },

  /** One isolate meets ever more repositories: what a new one costs, what a known one does, and what memory is held. */
  async growthOfScopes() {
    const worker = await start('service');
    const credential = token();
    const scopes = (from, count) => Array.from({ length: count }, (_, index) => exchange({ scope: `acme/r${from + index}`, credential }));
    const points = [];
    let seen = 0;
    for (const upTo of [100, 1000, 4000, 16_000, 40_000, 100_000]) {
      say(`${upTo} scopes in one isolate`);
      const fresh = Math.min(500, upTo - seen);
      const filling = upTo - seen - fresh;
      if (filling > 0) await load.run({ port: worker.port, requests: scopes(seen, filling), callers: 8, count: filling });
      const known = scopes(upTo - Math.min(fresh, 100), Math.min(fresh, 100));
      const added = await measured(worker, scopes(upTo - fresh, fresh), { callers: 8, count: fresh });
      const again = await measured(worker, known, { callers: 8, seconds: 1.5 });
      points.push({ x: upTo, newCpuMs: added.cpuMs, knownCpuMs: again.cpuMs, knownRequests: again.requests, memory: worker.memory() });
      seen = upTo;
    }
    await worker.stop();
    return points;
  },

  proxy: () => proxy({ mock, load, interleaved, say }),

  /** The pure parts, by criterion: its estimates of the median, in ns. */
  async core() {
    say('the pure parts, natively (cargo bench)');
    const quick = ['--quiet', '--warm-up-time', '0.3', '--measurement-time', '1', '--sample-size', '20', '--noplot'];
    const cargo = ['bench', '--quiet', '--locked', '--profile', 'measured', '--package', 'octo-sts-benches', '--bench', 'curves', '--', ...quick];
    const { status, stderr } = spawnSync('cargo', cargo, { cwd: ROOT, env: { ...process.env, CRITERION_HOME: `${OUT}/criterion` } });
    if (status !== 0) throw new Error(`cargo bench: ${stderr}`);
    const groups = JSON.parse(readFileSync(`${ROOT}benches/core/curves.json`, 'utf8'));
    const nanoseconds = (group, x) => JSON.parse(readFileSync(`${OUT}/criterion/${group}/${x}/new/estimates.json`, 'utf8')).median.point_estimate;
    return Object.fromEntries(Object.entries(groups).map(([group, { sizes }]) => [group, sizes.map((x) => ({ x, ns: nanoseconds(group, x) }))]));
  },
};

function about() {
  const sizes = Object.entries(FOLDERS).filter(([, folder]) => folder).map(([name, folder]) => {
    const wasm = readFileSync(`${ROOT}${folder}/index_bg.wasm`);
    return [name, { wasm: wasm.length, gzip: gzipSync(wasm, { level: 9 }).length }];
  });
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: { cpu: cpus()[0].model, cores: cpus().length, memoryGb: Math.round(totalmem() / 2 ** 30), node: process.version, kernel: execFileSync('uname', ['-sr']).toString().trim() },
    workerd: execFileSync(Workerd.binary, ['--version']).toString().trim(),
    rustc: execFileSync('rustc', ['--version']).toString().trim(),
    commit: execFileSync('git', ['describe', '--always', '--dirty'], { cwd: ROOT }).toString().trim(),
    sizes: Object.fromEntries(sizes),
  };
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in sections));
if (unknown.length > 0) throw new Error(`no section ${unknown}; there are ${Object.keys(sections).join(', ')}`);
mkdirSync(OUT, { recursive: true });
const file = `${OUT}/results.json`;
// A part that is not run keeps its previous figures: this folder's, or in a fresh clone the recorded ones.
const kept = [file, `${ROOT}docs/performance/results.json`].find(existsSync);
const previous = wanted.length > 0 && kept ? JSON.parse(readFileSync(kept, 'utf8')) : {};
const results = { ...previous, ...about() };
results.runs = { ...previous.runs };
for (const name of wanted.length > 0 ? wanted : Object.keys(sections)) {
  results[name] = await sections[name]();
  results.runs[name] = `${results.date}, ${results.commit}`;
  writeFileSync(file, `${JSON.stringify(results, null, 1)}\n`);
}
mock.stop();
load.stop();
process.stdout.write(await render(results, OUT));
say('results in target/bench: results.json, figures.md, *.svg');
