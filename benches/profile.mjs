// `node benches/profile.mjs`: where the CPU of a warm exchange goes, for the service and the floor, by perf's sampling of
// workerd with V8's names of compiled code. `node benches/profile.mjs first` looks at an isolate's first exchange. Wants `perf` and the Workers that `make bench` builds.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { exchange, INSTALLATION, ISSUER, JWK, POLICY, SETTINGS } from './support/fixtures.mjs';
import { startLoad, startMock, Workerd } from './support/processes.mjs';

const IS_FIRST = process.argv[2] === 'first';
const OUT = fileURLToPath(new URL('../target/bench/', import.meta.url));

/** The first that fits. */
const GROUPS = [
  ['compiling wasm (Liftoff, its assembler)', (name) => /Liftoff(?!Frame)|liftoff::|WasmFullDecoder|WasmDecoder|v8::internal::Assembler|Safepoint|ParallelMove|MergeRegion|StackTransfers|SourcePositionTableBuilder|RelocI|FunctionTypeFeedback|CompilationUnit/.test(name)],
  ['keeping and telling of what was compiled', (name) => /jitCodeEvent|CodeBlockInfo|CodeLinePos|SourcePositionTableIterator|JitPage|ThreadIsolation|CodeEvent|NativeModule|v8::internal::wasm::/.test(name)],
  ['kernel: sockets, scheduling', (_, object) => object.includes('kernel')],
  ['wasm', (name, object) => object.includes('JIT') && /turbofan|liftoff|wasm|Stub/.test(name)],
  [IS_FIRST ? 'generated code: wasm and JavaScript' : 'JavaScript glue', (_, object) => object.includes('JIT')],
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
const settled = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Samples a process until the work is done; resolves to the shares of the groups. */
async function sampled(worker, name, frequency, work) {
  const samples = `${OUT}${name}.perf`;
  const perf = spawn('perf', ['record', '-e', 'cpu-clock', '-F', String(frequency), '-p', String(worker.pid), '-o', samples], { stdio: 'ignore' });
  const recorded = once(perf, 'exit');
  await settled(700);
  await work();
  perf.kill('SIGINT');
  await recorded;
  const report = execFileSync('perf', ['report', '-i', samples, '--sort', 'dso,symbol', '--stdio', '-F', 'overhead,dso,symbol', '-t', '|'], {
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const shares = new Map(GROUPS.map(([group]) => [group, 0]));
  for (const line of report.toString().split('\n')) {
    const [, share, object, symbol] = /^ *([\d.]+)% *\|([^|]*)\|(.*)$/.exec(line) ?? [];
    if (share === undefined) continue;
    const [group] = GROUPS.find(([, fits]) => fits(symbol, object));
    shares.set(group, shares.get(group) + Number(share) / 100);
  }
  return shares;
}

/** µs of each group for a warm exchange. */
async function warm(name, folder) {
  // V8 names what it has compiled. Not for a first exchange: writing the names would be in the figures of compiling.
  const worker = await Workerd.start({ folder, mock, settings: SETTINGS, v8Flags: ['--perf-basic-prof'] });
  await load.run({ port: worker.port, requests, callers: 16, count: 10_000 });
  let perExchange;
  const shares = await sampled(worker, name, 4000, async () => {
    const cpu = worker.cpu();
    const { count } = await load.run({ port: worker.port, requests, callers: 1, seconds: 6 });
    perExchange = ((worker.cpu() - cpu) * 1000) / count;
  });
  await worker.stop();
  return new Map([...shares].map(([group, share]) => [group, share * perExchange]));
}

/** The same for the first exchange of an isolate, with an empty KV: the mean of several isolates. */
async function first(name, folder) {
  const sums = new Map(GROUPS.map(([group]) => [group, 0]));
  const isolates = 8;
  for (let isolate = 0; isolate < isolates; isolate++) {
    await mock.forget();
    const worker = await Workerd.start({ folder, mock, settings: SETTINGS });
    await settled(150);
    let cpu;
    const shares = await sampled(worker, name, 20_000, async () => {
      cpu = worker.cpuOfThreads();
      await load.run({ port: worker.port, requests, callers: 1, count: 1 });
      await settled(150);
      cpu = (worker.cpuOfThreads() - cpu) * 1000;
    });
    await worker.stop();
    for (const [group, share] of shares) sums.set(group, sums.get(group) + (share * cpu) / isolates);
  }
  return sums;
}

const columns = {};
for (const [name, folder] of Object.entries({ service: 'build', floor: 'target/floor' })) {
  columns[name] = await (IS_FIRST ? first : warm)(name, folder);
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
