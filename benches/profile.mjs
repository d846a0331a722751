// `node benches/profile.mjs`: where the CPU of a warm exchange goes, for the service and the floor, by perf's sampling of
// workerd with V8's names of compiled code. Wants `perf` and the Workers that `make bench` builds.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { exchange, INSTALLATION, ISSUER, JWK, POLICY, SETTINGS } from './support/fixtures.mjs';
import { startLoad, startMock, Workerd } from './support/processes.mjs';

process.env.BENCH_V8_FLAGS = '--perf-basic-prof';
const OUT = fileURLToPath(new URL('../target/bench/', import.meta.url));

/** The first that fits. */
const GROUPS = [
  ['kernel: sockets, scheduling', (_, object) => object.includes('kernel')],
  ['wasm', (name, object) => object.includes('JIT') && /turbofan|liftoff|wasm|Stub/.test(name)],
  ['JavaScript glue', (_, object) => object.includes('JIT')],
  ['memory of the runtime', (name) => /tcmalloc/i.test(name)],
  ['garbage collection', (name) => /Scaveng|MarkCompact|Heap::|GlobalHandles|Traced|CppHeap|Sweep|cppgc|HeapTracer|Marking/.test(name)],
  ['builtins: microtasks, typed arrays', (name) => name.includes('Builtins_')],
  ['V8', (name) => name.includes('v8::')],
  ['workerd: fetch, Headers, streams', (name) => name.includes('workerd::')],
  ['kj: HTTP, event loop', (name) => name.includes('kj::')],
  ['signatures', (name) => /bn_|sha256|EVP|CRYPTO|bssl|RSA|BN_/.test(name)],
  ['the rest', () => true],
];

const mock = await startMock({ jwk: JWK, policy: POLICY, issuer: ISSUER, installation: INSTALLATION });
const load = startLoad();
const requests = Array.from({ length: 16 }, () => exchange());
const columns = {};
for (const [name, folder] of Object.entries({ service: 'build', floor: 'target/floor' })) {
  const worker = await Workerd.start({ folder, mock, settings: SETTINGS });
  await load.run({ port: worker.port, requests, callers: 16, count: 10_000 });
  const samples = `${OUT}${name}.perf`;
  const perf = spawn('perf', ['record', '-e', 'cpu-clock', '-F', '4000', '-p', String(worker.pid), '-o', samples, 'sleep', '6'], { stdio: 'ignore' });
  const recorded = once(perf, 'exit');
  const cpu = worker.cpu();
  const { count } = await load.run({ port: worker.port, requests, callers: 1, seconds: 7 });
  const perExchange = ((worker.cpu() - cpu) * 1000) / count;
  await recorded;
  const report = execFileSync('perf', ['report', '-i', samples, '--sort', 'dso,symbol', '--stdio', '-F', 'overhead,dso,symbol', '-t', '|'], {
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await worker.stop();
  columns[name] = new Map(GROUPS.map(([group]) => [group, 0]));
  for (const line of report.toString().split('\n')) {
    const [, share, object, symbol] = /^ *([\d.]+)% *\|([^|]*)\|(.*)$/.exec(line) ?? [];
    if (share === undefined) continue;
    const [group] = GROUPS.find(([, fits]) => fits(symbol, object));
    columns[name].set(group, columns[name].get(group) + (Number(share) / 100) * perExchange);
  }
}
mock.stop();
load.stop();

console.log('| µs of CPU for an exchange | service | floor | difference |\n| --- | ---: | ---: | ---: |');
const sums = [0, 0];
for (const [group] of GROUPS) {
  const [service, floor] = [columns.service.get(group), columns.floor.get(group)];
  sums[0] += service;
  sums[1] += floor;
  console.log(`| ${group} | ${service.toFixed(0)} | ${floor.toFixed(0)} | ${(service - floor).toFixed(0)} |`);
}
console.log(`| all | ${sums[0].toFixed(0)} | ${sums[1].toFixed(0)} | ${(sums[0] - sums[1]).toFixed(0)} |`);
