// The runtime's output: every line on its console at LOG_LEVEL=debug, including its own errors, while calls fail with
// bodies that contain secrets, while a caller puts tokens where names belong, and when the Worker panics.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { faults, Internet } from './support/internet.mjs';
import { Worker } from './support/worker.mjs';
import { answerOf, DEPLOY_POLICY, GITHUB_API, policyPath, World } from './support/world.mjs';

const KEYS_HOST = 'token.actions.githubusercontent.com';
const INGRESS_HOST = 'events.example.com';

/** Without a recognizable form. */
const UPSTREAM = 'canary-of-an-upstream-body';

const CALLS = [
  { host: KEYS_HOST, path: '/.well-known/openid-configuration' },
  { host: KEYS_HOST, path: '/jwks' },
  { host: GITHUB_API, path: /\/installation$/ },
  { host: GITHUB_API, method: 'POST', path: /access_tokens$/ },
  { host: GITHUB_API, path: /\/contents\// },
  { host: GITHUB_API, path: /check-runs/ },
  { host: GITHUB_API, method: 'DELETE', path: '/installation/token' },
  { host: INGRESS_HOST },
];

const body = { message: UPSTREAM, token: UPSTREAM, issuer: UPSTREAM, keys: [UPSTREAM], content: UPSTREAM };

const FAULTS = [
  faults.answer({ body }),
  faults.answer({ status: 422, headers: { 'x-canary': UPSTREAM }, body }),
  faults.answer({ status: 500, body: UPSTREAM }),
  faults.redirect(`https://evil.example.com/${UPSTREAM}`),
  faults.cut({ body: JSON.stringify(body) }),
];

describe('with everything logged', () => {
  let world;
  const answers = [];

  before(async () => {
    world = await World.start({ vars: { LOG_LEVEL: 'debug', EVENT_INGRESS_URI: `https://${INGRESS_HOST}/ingest` } });
    world.internet.host(INGRESS_HOST, (incoming, outgoing) => void outgoing.writeHead(202).end());
    world.canary(UPSTREAM);
    await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
  });
  // Searches the console and KV for every token, key and canary, and for credentials sent to the wrong place.
  after(() => world?.stop());

  async function forgetAll() {
    await world.settled();
    const kv = await world.worker.kv();
    for (const { name } of (await kv.list()).keys) await kv.delete(name);
    await world.worker.newIsolate();
    world.internet.reset();
  }

  for (const call of CALLS) {
    test(`no answer of ${call.method ?? ''} ${call.host} ${call.path ?? ''} is written or handed on`, async () => {
      for (const fault of FAULTS) {
        await forgetAll();
        world.internet.breakNext(call, fault, Number.POSITIVE_INFINITY);
        answers.push(await world.exchange());
        answers.push(await world.deliver('push', await world.push({ [policyPath('deploy')]: DEPLOY_POLICY })));
        await world.settled();
        const { requests } = world.internet;
        const events = requests.filter(({ host }) => host === INGRESS_HOST).map(({ body: event }) => event);
        const told = answers.splice(0).map(({ body: answer, headers }) => JSON.stringify([answer, [...headers]]));
        for (const text of [...events, ...told]) assert.ok(!text.includes(UPSTREAM), text);
      }
      assert.ok(!world.worker.logs.some(({ message }) => message.includes('[redacted ')), 'no masking was needed');
      world.internet.reset();
    });
  }

  test('a token in a place for names is masked', async () => {
    await forgetAll();
    const token = await world.jobToken();
    world.canary(token);
    const { status } = await answerOf(
      await world.worker.request(`/sts/exchange?scope=acme/app&identity=${`ghs_${'a1B2'.repeat(9)}`}`, {
        headers: { authorization: 'Bearer x', 'user-agent': `job ${token}` },
      }),
    );
    assert.equal(status, 401);
    await world.settled();
    const event = world.worker.events().at(-1);
    assert.match(event.identity, /^ghs_\[redacted sha256:[0-9a-f]{16}\]$/);
    assert.match(event.user_agent, /^job eyJ\[redacted sha256:[0-9a-f]{16}\]$/);
    assert.equal(event.scope, 'acme/app');
  });
});

describe('a panic', () => {
  let internet;
  let worker;
  before(async () => {
    internet = await Internet.open();
    worker = await Worker.start({ internet, vars: {}, folder: 'target/vectors' });
  });
  after(() => Promise.all([worker?.stop(), internet?.close()]));

  test('is told by its place, without what was worked on, and the next request is answered', async () => {
    const alive = async () => (await worker.request('/healthz')).status;
    assert.equal(await alive(), 200);
    const panicked = await worker.request('/panic', { method: 'POST', body: UPSTREAM }).then(
      (response) => response.text(),
      (error) => String(error),
    );
    assert.ok(!panicked.includes(UPSTREAM), panicked);
    assert.equal(await alive(), 200);
    assert.equal(await alive(), 200);
    const written = worker.logs.map(({ message }) => message);
    assert.ok(!written.some((message) => message.includes(UPSTREAM)), written.join('\n'));
    const lines = written.filter((message) => message.startsWith('{')).map((message) => JSON.parse(message));
    const [line] = lines.filter(({ message }) => message === 'panic');
    assert.equal(line.level, 'error');
    assert.match(line.place, /vectors\.rs:\d+:\d+$/);
    assert.equal(line.reason, '');
  });
});
