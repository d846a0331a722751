// The proxy beside a pass-through Worker in JavaScript (`benches/pass-through`), part of `make bench`: CPU of a request, the
// first byte of a stream, and memory while large bodies pass.

import { generateKeyPairSync } from 'node:crypto';

import { ARRIVING, DOMAIN, ISSUER, SETTINGS, token } from './support/fixtures.mjs';
import { startStreams, Workerd } from './support/processes.mjs';
import { LARGE, UPSTREAM_HOST } from './support/upstream.mjs';

const OBJECTS = { PROXY_BUDGETS: 'ProxyBudget' };
const MODELS_KEY = 'the key of the bench';

/** So many runs, each with a budget of its own: none of them may reach its requests in a second, which are 100 at most. */
const RUNS = 128;
const AT_ONCE = 16;

const UPSTREAMS = {
  models: {
    url: `https://${UPSTREAM_HOST}`,
    credential: { secret: { name: 'MODELS_KEY' } },
    allow: [{ issuer: ISSUER, subject: 'repo:acme/app:ref:refs/heads/main' }],
    methods: ['GET', 'POST'],
    paths: ['/v1/.*'],
    requests_per_second: 100,
    max_requests: 10_000,
  },
};

const FOLDERS = { service: 'build', 'pass-through': 'benches/pass-through/index.js' };

/** A request as an SDK sends it, 1 KB long. */
const BODY = JSON.stringify({ model: 'example', max_tokens: 1024, messages: [{ role: 'user', content: 'What does this change do? '.repeat(36) }] });
const SDK = {
  accept: 'application/json',
  'content-type': 'application/json',
  'anthropic-version': '2023-06-01',
  'user-agent': 'Anthropic/JS 1.14.0',
  'x-stainless-arch': 'x64',
  'x-stainless-lang': 'js',
  'x-stainless-os': 'Linux',
  'x-stainless-package-version': '1.14.0',
  'x-stainless-retry-count': '0',
  'x-stainless-runtime': 'node',
  'x-stainless-runtime-version': 'v20.20.2',
  'x-stainless-timeout': '600',
};

const headers = (credential) => ({ ...ARRIVING, ...SDK, authorization: `Bearer ${credential}` });
/** A request of a caller with this credential. */
export const asking = (credential) => ({ method: 'POST', path: '/proxy/models/v1/messages?beta=true', headers: headers(credential), body: BODY });

/** What the Worker and the pass-through are bound to. */
export const settings = () => ({
  ...SETTINGS,
  ISSUER_PRIVATE_KEY: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
  UPSTREAMS: JSON.stringify(UPSTREAMS),
  MODELS_KEY,
  UPSTREAM: UPSTREAMS.models.url,
});

const audience = `https://${DOMAIN}/proxy/models`;
/** The tokens of as many runs. */
export const jobTokens = () => Array.from({ length: RUNS }, (_, run) => token({ aud: audience, run_id: String(run) }));

/** What the token endpoint gives for a job's token. */
async function session(worker, jobToken) {
  const answer = await fetch(`http://127.0.0.1:${worker.port}/sts/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
      subject_token: jobToken,
      resource: audience,
    }),
  });
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`no session: ${text}`);
  return JSON.parse(text).access_token;
}

/** CPU of a request: a job's token, and a session that the isolate has seen, beside the pass-through. */
async function requests({ start, load, interleaved, say }) {
  const workers = { service: await start('service'), 'pass-through': await start('pass-through') };
  const jobs = jobTokens();
  const sessions = [];
  for (const job of jobs) sessions.push(await session(workers.service, job));
  const of = (worker, credentials) => ({ worker: workers[worker], requests: credentials.map(asking) });
  const variants = {
    'service, a job\'s token': of('service', jobs),
    'service, a session': of('service', sessions),
    'pass-through': of('pass-through', jobs),
  };
  for (const { worker, requests } of Object.values(variants)) {
    await load.run({ port: worker.port, requests, callers: AT_ONCE, count: 10_000, seconds: 60 });
  }
  const results = {};
  for (const callers of [1, 16, 64]) {
    say(`the proxy, ${callers} at once`);
    results[callers] = await interleaved(Object.entries(variants).map(([name, of]) => ({ name, ...of, work: { callers, seconds: 2 } })));
  }
  return { results, workers, jobs };
}

/** The first byte of a stream whose upstream answers at once, and of one that takes its time; `direct` has no proxy. */
async function firstBytes({ mock, say }, streams, workers, jobs) {
  const results = {};
  for (const [wait, rounds] of [[0, 300], [100, 60]]) {
    say(`the first byte of a stream, after ${wait} ms`);
    const path = `/v1/events?wait=${wait}`;
    const proxied = (worker) => ({ port: workers[worker].port, path: `/proxy/models${path}`, headers: headers(jobs[0]) });
    const direct = { port: mock.internetPort, path, headers: { ...headers(jobs[0]), host: UPSTREAM_HOST } };
    const targets = { service: proxied('service'), 'pass-through': proxied('pass-through'), direct };
    const times = await streams.firstBytes({ targets: Object.values(targets), rounds });
    results[wait] = Object.fromEntries(Object.keys(targets).map((name, index) => [name, at(times[index])]));
  }
  return results;
}

function at(times) {
  const sorted = times.slice(times.length / 10).sort((a, b) => a - b);
  return { p50: sorted[Math.floor(sorted.length / 2)], p90: sorted[Math.floor(sorted.length * 0.9)] };
}

/** Memory of an isolate while so many large bodies pass, in either direction and at the same time. */
async function memory({ start, say }, streams, jobs) {
  const results = {};
  for (const name of Object.keys(FOLDERS)) {
    const worker = await start(name);
    const path = { down: '/proxy/models/v1/bytes', up: '/proxy/models/v1/count' };
    const transfer = (direction, from, count, bytes = LARGE) => streams.transfers({
      direction,
      each: jobs.slice(from, from + count).map((job) => ({ port: worker.port, path: path[direction], headers: headers(job), bytes })),
    });
    // One each way first: what the runtime needs once is in no difference.
    await transfer('down', 0, 1);
    await transfer('up', 0, 1);
    results[name] = {};
    for (const direction of ['down', 'up']) {
      say(`${AT_ONCE} times 100 MB ${direction} at once, ${name}`);
      const [before, cpu] = [worker.memory(), worker.cpu()];
      let most = before;
      const sampling = setInterval(() => (most = Math.max(most, worker.memory())), 20);
      const seconds = await transfer(direction, 0, AT_ONCE);
      clearInterval(sampling);
      results[name][direction] = { before, most, after: worker.memory(), seconds, cpuMsPerMb: (worker.cpu() - cpu) / (AT_ONCE * LARGE / 1e6) };
    }
    await worker.stop();
  }
  return results;
}

/** `tools` are the bench's own: `{mock, load, interleaved, say}`. */
export async function proxy(tools) {
  const bound = settings();
  const start = (name) => Workerd.start({ folder: FOLDERS[name], mock: tools.mock, settings: bound, objects: OBJECTS });
  const { results, workers, jobs } = await requests({ ...tools, start });
  const streams = startStreams();
  const first = await firstBytes(tools, streams, workers, jobs);
  for (const worker of Object.values(workers)) await worker.stop();
  const held = await memory({ ...tools, start }, streams, jobs);
  streams.stop();
  return { requests: results, firstByte: first, memory: held };
}
