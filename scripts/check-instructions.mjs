// Counts the instructions of the core's steps, and compares them with benches/core/instructions.json: a budget that is
// the same on every machine, loaded or not. Needs valgrind; without it the check says so and is skipped, but not in CI.
// `UPDATE_INSTRUCTIONS=1` records the counts.
//
// A count is the difference of two runs, one and a hundred times the work, so that the start of the program cancels out.
// Only our own binary counts, because the C library chooses its functions by processor. Calls of the allocator are counted
// separately.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const BUDGETS = new URL('../benches/core/instructions.json', import.meta.url);
const TIMES = 100;
// A worst case takes a hundred times as long, and callgrind is thirty times slower.
const TIMES_WORST = 3;
const TOLERANCE = 0.05;

const recorded = JSON.parse(readFileSync(BUDGETS, 'utf8'));
const rustc = execFileSync('rustc', ['--version']).toString().trim();
const update = process.env.UPDATE_INSTRUCTIONS !== undefined;

function skip(reason) {
  if (process.env.CI === 'true') {
    console.error(`instructions: ${reason}`);
    process.exit(1);
  }
  console.log(`instructions: SKIPPED, ${reason}`);
  process.exit(0);
}

if (spawnSync('valgrind', ['--version']).status !== 0) skip('there is no valgrind (apt-get install valgrind)');
if (process.arch !== 'x64' || process.platform !== 'linux') skip(`the counts are of x86-64 Linux, this is ${process.arch} ${process.platform}`);
if (rustc !== recorded.rustc && !update) skip(`the counts are of ${recorded.rustc}, this is ${rustc}`);

// An example, so that features resolve as for the curves: the library's file has one name, and two resolutions would keep
// overwriting it.
const built = execFileSync(
  'cargo',
  ['build', '--locked', '--profile', 'measured', '--package', 'octo-sts-benches', '--example', 'instructions', '--message-format', 'json'],
  { stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 28 },
);
const messages = built.toString().split('\n').filter(Boolean).map((line) => JSON.parse(line));
const binary = messages.find(({ target, executable }) => executable && target?.name === 'instructions').executable;

/** `{instructions, allocations}` of a run, out of callgrind's own file. */
function run(folder, workload, times) {
  const file = join(folder, 'out');
  const ran = spawnSync('valgrind', ['--tool=callgrind', `--callgrind-out-file=${file}`, binary, workload, String(times)]);
  if (ran.status !== 0) throw new Error(`valgrind: ${ran.stderr}`);
  const names = { ob: new Map(), fn: new Map() };
  // A name is written out once, as `(7) name`, and is just `(7)` after that.
  const named = (kind, text) => {
    const [, id, name] = /^\((\d+)\)(?: (.*))?$/.exec(text);
    if (name !== undefined) names[kind].set(id, name);
    return names[kind].get(id);
  };
  let [object, callee, isCall] = ['', '', false];
  let [instructions, allocations] = [0, 0];
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [, key, value] = /^([a-z]+)=(.*)$/.exec(line) ?? [];
    if (key === 'ob') object = named('ob', value);
    else if (key === 'cob') named('ob', value);
    else if (key === 'fn') named('fn', value);
    else if (key === 'cfn') callee = named('fn', value);
    else if (key === 'calls') {
      isCall = true;
      if (object === binary && /^(malloc|calloc|realloc|posix_memalign)$/.test(callee)) allocations += Number(value.split(' ')[0]);
    } else if (/^[+*\-\d]/.test(line)) {
      // The line after `calls` has the cost of the callee, which is counted at the callee itself.
      if (!isCall && object === binary) instructions += Number(line.split(' ')[1]);
      isCall = false;
    }
  }
  return { instructions, allocations };
}

const folder = mkdtempSync(join(tmpdir(), 'instructions-'));
const counted = {};
let over = 0;
try {
  for (const workload of Object.keys(recorded.workloads)) {
    const times = workload.startsWith('worst ') ? TIMES_WORST : TIMES;
    const [once, often] = [run(folder, workload, 1), run(folder, workload, 1 + times)];
    const of = {
      instructions: Math.round((often.instructions - once.instructions) / times),
      allocations: Math.round((often.allocations - once.allocations) / times),
    };
    counted[workload] = of;
    for (const what of ['instructions', 'allocations']) {
      const [now, before] = [of[what], recorded.workloads[workload][what]];
      const change = before ? now / before - 1 : 0;
      const verdict = Math.abs(change) <= TOLERANCE ? '' : change > 0 ? '  TOO MANY' : '  fewer: record it with UPDATE_INSTRUCTIONS=1';
      if (verdict) over += 1;
      console.log(`${workload.padEnd(15)} ${String(now).padStart(9)} ${what.padEnd(12)} ${(change * 100).toFixed(1).padStart(6)} %${verdict}`);
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}
if (update) {
  writeFileSync(BUDGETS, `${JSON.stringify({ rustc, workloads: counted }, null, 2)}\n`);
} else if (over > 0) {
  console.error('the core does more or less than benches/core/instructions.json records; docs/performance.md says what to do');
  process.exit(1);
}
