// Single use of OIDC tokens in the real runtime: Durable Objects with their storage, alarms and ways to fail.

import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { faults } from './support/internet.mjs';
import { observed } from './support/observed.mjs';
import { answerOf, DEPLOY_POLICY, GITHUB_API, policyPath, World } from './support/world.mjs';

const MINT = { host: GITHUB_API, method: 'POST', path: /\/access_tokens$/ };
const USED = { status: 401, error: 'invalid_token', message: 'the token was used already' };
const READ_POLICY = DEPLOY_POLICY.replace('issues: write', 'issues: read');

/** The order of P-256's group. */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** The same ES256 token with another text: `(r, n - s)` for `(r, s)`. */
function malleated(token) {
  const [header, payload, signature] = token.split('.');
  const bytes = Buffer.from(signature, 'base64url');
  const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`);
  const other = Buffer.from((ORDER - s).toString(16).padStart(64, '0'), 'hex');
  return [header, payload, Buffer.concat([bytes.subarray(0, 32), other]).toString('base64url')].join('.');
}

const nameOf = (token) => createHash('sha256').update(token.slice(0, token.lastIndexOf('.'))).digest('hex');

const told = ({ status, body }) => ({ status, error: body.error, message: body.message });

async function worldWith(options) {
  const world = await World.start(options);
  await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
  await world.github.commit('acme/app', policyPath('read'), READ_POLICY);
  return world;
}

describe('a token for single use', () => {
  let world;

  before(async () => {
    world = await worldWith({ vars: { SINGLE_USE_TOKENS: 'true' }, algorithms: ['ES256'], usedTokens: 'UsedToken' });
    assert.deepEqual((await answerOf(await world.worker.request('/readyz'))).body, { status: 'ready', missing: [], malformed: [] });
  });
  after(() => world?.stop());

  test('has its record bound in wrangler.toml, with the storage that the record needs', () => {
    const text = readFileSync(new URL('../../wrangler.toml', import.meta.url), 'utf8');
    assert.match(text, /^\[\[durable_objects\.bindings\]\]\nname = "USED_TOKENS"\nclass_name = "UsedToken"$/m);
    assert.match(text, /^new_sqlite_classes = \["UsedToken"\]$/m);
  });

  const job = () => world.jobToken({ jti: randomUUID() });

  test('is exchanged once, by any isolate', async () => {
    const token = await job();
    await world.exchanged({ token });
    assert.deepEqual(told(await world.exchange({ token })), USED);
    await world.worker.newIsolate();
    const { status, headers, body } = await world.exchange({ token, identity: 'read' });
    assert.deepEqual(told({ status, body }), USED);
    assert.equal(headers.get('www-authenticate'), 'Bearer error="invalid_token"');
    await world.exchanged({ token: await job() });
  });

  test('is the same token with another signature that verifies', async () => {
    const token = await job();
    await world.exchanged({ token: malleated(token) });
    assert.deepEqual(told(await world.exchange({ token })), USED);
    assert.deepEqual(told(await world.exchange({ token: malleated(token) })), USED);
  });

  test('gets one of twenty requests at once a token', async () => {
    const token = await job();
    const minted = world.github.minted.length;
    const texts = Array.from({ length: 20 }, (_, index) => (index % 2 ? token : malleated(token)));
    const answers = await Promise.all(texts.map((text) => world.exchange({ token: text })));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    for (const answer of answers.filter(({ status }) => status !== 200)) assert.deepEqual(told(answer), USED);
    assert.equal(world.github.minted.length, minted + 1);
  });

  test('is free again after a mint that failed, until one did not', async () => {
    const token = await job();
    for (const fault of [faults.answer({ status: 500 }), faults.reset(), faults.answer({ status: 422, body: {} }), faults.cut()]) {
      world.internet.breakNext(MINT, fault);
      assert.ok((await world.exchange({ token })).status >= 403);
    }
    await world.exchanged({ token });
    assert.deepEqual(told(await world.exchange({ token })), USED);
  });

  test('leaves an event for every use that was tried', async () => {
    const token = await job();
    const known = world.worker.events().length;
    await world.exchange({ token });
    await world.exchange({ token });
    await world.settled();
    const events = world.worker.events().slice(known);
    assert.deepEqual(events.map(({ outcome }) => outcome), ['granted', 'invalid_token']);
    assert.deepEqual(events.map(({ subrequests }) => subrequests), [1, 0]);
  });
});

describe('what the record of used tokens stores', () => {
  let world;
  before(async () => {
    world = await worldWith({ vars: { SINGLE_USE_TOKENS: 'true' }, usedTokens: 'Observed', standIn: observed('UsedToken') });
  });
  after(() => world?.stop());

  const ask = async (name, wish) => (await world.worker.askUsedToken(name, wish)).status;
  const stored = async (name) => (await world.worker.askUsedToken(name, 'stored')).json();
  const NOTHING = { entries: [], alarm: null };

  test('is who used it, until a minute after the token is over', async () => {
    const exp = Math.floor(Date.now() / 1000) + 300;
    const token = await world.jobToken({ exp });
    assert.deepEqual(await stored(nameOf(token)), NOTHING);
    const { request_id: holder } = await world.exchanged({ token });
    assert.deepEqual(await stored(nameOf(token)), { entries: [['holder', holder]], alarm: (exp + 60) * 1000 });
  });

  test('is nothing after a mint that failed', async () => {
    const token = await world.jobToken({ jti: randomUUID() });
    world.internet.breakNext(MINT, faults.answer({ status: 503 }));
    assert.equal((await world.exchange({ token })).status, 503);
    assert.deepEqual(await stored(nameOf(token)), NOTHING);
  });

  test('is nothing when its time is over, and then nobody gets the token any more', async () => {
    const until = Date.now() + 700;
    assert.equal(await ask('a', `reserve/first/${until}`), 201);
    assert.equal(await ask('a', `reserve/first/${until}`), 201);
    assert.equal(await ask('a', `reserve/second/${until}`), 409);
    assert.deepEqual(await stored('a'), { entries: [['holder', 'first']], alarm: until });
    await world.until(async () => (await stored('a')).entries.length === 0, 'the alarm');
    assert.ok(Date.now() >= until);
    assert.deepEqual(await stored('a'), NOTHING);
    assert.equal(await ask('a', `reserve/second/${until}`), 410);
    assert.deepEqual(await stored('a'), NOTHING);
  });

  test('is released by its holder alone', async () => {
    const until = Date.now() + 60_000;
    assert.equal(await ask('b', `reserve/first/${until}`), 201);
    assert.equal(await ask('b', 'release/second'), 204);
    assert.equal(await ask('b', `reserve/second/${until}`), 409);
    assert.equal(await ask('b', 'release/first'), 204);
    assert.deepEqual(await stored('b'), NOTHING);
    assert.equal(await ask('b', `reserve/second/${until}`), 201);
    assert.equal(await ask('b', 'release/first'), 204, 'a late one');
    assert.equal(await ask('b', `reserve/first/${until}`), 409);
  });

  test('is not changed by what it does not understand', async () => {
    for (const wish of ['', 'reserve', 'reserve/x/soon', 'release/', 'forget/x']) assert.equal(await ask('c', wish), 400, wish);
    assert.deepEqual(await stored('c'), NOTHING);
  });
});

describe('tokens that write', () => {
  let world;
  before(async () => {
    world = await worldWith({ vars: { SINGLE_USE_TOKENS: 'writes' }, usedTokens: 'UsedToken' });
  });
  after(() => world?.stop());

  test('are for single use, and others are not', async () => {
    const token = await world.jobToken();
    await world.exchanged({ token, identity: 'read' });
    await world.exchanged({ token, identity: 'read' });
    await world.exchanged({ token });
    assert.deepEqual(told(await world.exchange({ token })), USED);
    await world.exchanged({ token, identity: 'read' });
  });
});

describe('a record of used tokens that fails', () => {
  const failing = (body) => ({
    vars: { SINGLE_USE_TOKENS: 'writes' },
    usedTokens: 'Failing',
    standIn: `export class Failing { async fetch() { ${body} } }`,
  });

  for (const [how, body, error] of [
    ['by throwing', "throw new Error('out of order');", 'out of order'],
    ['by an answer that is none', 'return new Response(null);', 'the object answered 200'],
    ['by saying nothing', 'await new Promise((resolve) => setTimeout(resolve, 60_000));', 'no answer in time'],
  ]) {
    test(`${how} closes what needs it and nothing else`, async () => {
      const world = await worldWith(failing(body));
      try {
        await world.exchanged({ identity: 'read' });
        const { status, headers, body } = await world.exchange();
        assert.equal(status, 503);
        assert.equal(body.error, 'unavailable');
        assert.equal(headers.get('retry-after'), '5');
        const writing = (await world.github.ledger()).filter(({ permissions }) => permissions.issues === 'write');
        assert.deepEqual(writing, [], 'nothing is minted');
        await world.settled();
        const line = world.worker.lines().find(({ message }) => message === 'the token could not be reserved');
        assert.equal(line.error, error);
      } finally {
        await world.stop();
      }
    });
  }
});

describe('single use without its binding', () => {
  let world;
  before(async () => {
    world = await worldWith({ vars: { SINGLE_USE_TOKENS: 'true' } });
  });
  after(() => world?.stop());

  test('closes the exchange by name', async () => {
    const ready = await answerOf(await world.worker.request('/readyz'));
    assert.deepEqual([ready.status, ready.body], [503, { status: 'unready', missing: ['USED_TOKENS'], malformed: [] }]);
    const { status, body } = await world.exchange();
    assert.deepEqual([status, body.error], [500, 'misconfigured']);
  });
});
