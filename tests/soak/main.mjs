// `make soak`: N exchanges (100 000), from SEED (a new one), and the figures.

import { median, Soak } from './soak.mjs';

const count = Number(process.env.N || 100_000);
const seed = Number(process.env.SEED || Math.floor(Math.random() * 2 ** 31));
console.log(`${count} exchanges, SEED=${seed}`);

const begun = Date.now();
const soak = await Soak.start({ seed });
const virtual = soak.clock.now;
try {
  await soak.run(count, (done) => {
    const seconds = (Date.now() - begun) / 1000;
    if (done % 5000 === 0 || done === count) {
      console.log(`${done} exchanges, ${seconds.toFixed(0)} s, ${(done / seconds).toFixed(0)} per second, ${soak.oracle.unexplained.length} unexplained`);
    }
  });
} finally {
  report();
  await soak.stop();
}
for (const complaint of soak.complaints()) console.error(`FAILED ${complaint}`);
for (const { exchange } of soak.oracle.unexplained.slice(0, 5)) console.error(JSON.stringify(told(exchange), null, 1));
process.exit(soak.complaints().length > 0 ? 1 : 0);

function report() {
  const { figures, outcomes } = soak.oracle;
  const grants = figures.grants || 1;
  const sum = (numbers) => Object.values(numbers).reduce((all, one) => all + one, 0);
  const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MB`;
  const part = (kind, from, to) => megabytes(median(soak.memory.slice(Math.floor(soak.memory.length * from), Math.ceil(soak.memory.length * to)).map((sample) => sample[kind])));
  const course = (kind) => `${part(kind, 0, 0.01)} after the first batch, then by quarters ${[0, 1, 2, 3].map((number) => part(kind, number / 4, (number + 1) / 4)).join(', ')}`;
  const rows = {
    'wall-clock time': `${((Date.now() - begun) / 1000).toFixed(0)} s`,
    "time by the Worker's clock": `${((soak.clock.now - virtual) / 3_600_000).toFixed(1)} h`,
    exchanges: sum(outcomes),
    ...Object.fromEntries(Object.entries(outcomes).sort().map(([outcome, number]) => [`  ${outcome}`, number])),
    'unexplained answers': soak.oracle.unexplained.length,
    'grants by a copy past its time': `${figures.stale}, the oldest ${(figures.oldestStale / 1000).toFixed(0)} s`,
    'oldest other copy that decided': `${(figures.oldestGrant / 1000).toFixed(0)} s`,
    'tokens accepted past the age of their key': figures.lateKeys,
    'requests before the answer, per grant': (figures.callsOfGrants / grants).toFixed(2),
    'grants with one request': `${((100 * figures.warmGrants) / grants).toFixed(1)} %`,
    'KV reads per grant': (figures.kvReads / grants).toFixed(2),
    'outbound requests': soak.internet.requests,
    'faults injected': `${sum(soak.internet.faults)} (${((100 * sum(soak.internet.faults)) / soak.internet.requests).toFixed(1)} %)`,
    ...Object.fromEntries(Object.entries(byFault(soak.internet.faults)).map(([fault, number]) => [`  ${fault}`, number])),
    'KV operations': Object.entries(soak.kv).map(([name, number]) => `${name} ${number}`).join(', '),
    changes: Object.entries(soak.events).sort().map(([name, number]) => `${name} ${number}`).join('; '),
    deliveries: soak.deliveries,
    tokens: Object.entries(soak.tokens ?? {}).map(([name, number]) => `${name} ${number}`).join(', '),
    "the isolates' WebAssembly memory": course('wasm'),
    "the runtime's memory": course('runtime'),
  };
  for (const [name, value] of Object.entries(rows)) console.log(`${name.padEnd(44)} ${value}`);
}

function byFault(faults) {
  const sums = {};
  for (const [name, number] of Object.entries(faults)) sums[name.split(' at ')[0]] = (sums[name.split(' at ')[0]] ?? 0) + number;
  return sums;
}

/** An exchange without its secrets and its neighbors. */
function told({ ledger, policy, issuer, token, whole, answer, calls, events, lines, ...rest }) {
  const known = policy?.history.revisions.slice(-4).map(({ text, ...revision }) => revision);
  const answered = answer && { ...answer, body: { ...answer.body, token: undefined, access_token: undefined } };
  const asked = calls?.map(({ issuer: asked, ...call }) => ({ ...call, revision: call.revision?.sha, issuer: asked?.url }));
  return { ...rest, issuer: issuer?.url, token: { kind: token?.kind, kid: token?.key?.kid, publishedAt: token?.key?.publishedAt, removedAt: token?.key?.removedAt, ref: token?.ref }, answer: answered, calls: asked, revisions: known };
}
