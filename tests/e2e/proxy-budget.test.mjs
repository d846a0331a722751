// The budget's object in trouble: without its word nothing goes through, and what it has counted stays counted wherever it is.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { observed } from './support/observed.mjs';
import { Proxied } from './support/proxied.mjs';
import { upstream } from './support/upstream.mjs';

/** A class that fails in another way each time it is asked. The last one never answers. */
const FAILING = `
  import { DurableObject } from 'cloudflare:workers';
  const faults = [
    () => { throw new Error('canary-of-the-object'); },
    () => Promise.reject(new Error('canary-of-the-object')),
    () => new Response('canary-of-the-object', { status: 500, headers: { 'x-verdict': 'taken 1' } }),
    () => new Response('taken 1'),
    ...['', 'canary-of-the-object', 'taken', 'taken -1', 'taken 4294967296', 'taken 1, taken 2', 'noted'].map(
      (verdict) => () => new Response(null, { headers: { 'x-verdict': verdict } }),
    ),
    (context) => context.abort('moved'),
    () => new Promise(() => {}),
  ];
  let asked = 0;
  export class Failing extends DurableObject {
    fetch() { return faults[Math.min(asked++, faults.length - 1)](this.ctx); }
  }`;
const FAULTS = 13;

describe('a budget whose object fails', () => {
  let world, api;

  before(async () => {
    api = await upstream({});
    world = await Proxied.start({ api: { url: api.url } }, { budgets: 'Failing', standIn: FAILING });
  });
  after(async () => {
    await world?.stop();
    await api?.close();
  });

  test('lets nothing through, however it fails, and says so within its time', async () => {
    for (let fault = 0; fault < FAULTS; fault += 1) {
      const asked = performance.now();
      const answer = await world.call('api', `/${fault}`, { signal: AbortSignal.timeout(30_000) });
      const text = await answer.text();
      const took = performance.now() - asked;
      assert.equal(answer.status, 503, `${fault}: ${text}`);
      if (fault === FAULTS - 1) assert.ok(took > 4900 && took < 9000, `it has 5 s: ${took}`);
      assert.equal(answer.headers.get('x-octo-sts-error'), 'unavailable');
      assert.match(answer.headers.get('retry-after'), /^\d+$/);
      assert.ok(!text.includes('canary'), text);
      assert.equal((await world.event(({ path }) => path === `/${fault}`)).outcome, 'unavailable');
    }
    assert.equal(api.seen.length, 0, 'nothing arrived');
  });
});

/** A class that takes its time and lets everything through. */
const SLOW = `
  import { DurableObject } from 'cloudflare:workers';
  export class Slow extends DurableObject {
    async fetch() {
      await scheduler.wait(1000);
      return new Response(null, { headers: { 'x-verdict': 'taken 5' } });
    }
  }`;

describe('a budget whose object is slow', () => {
  let world, api;

  before(async () => {
    api = await upstream({ '/never': () => new Promise(() => {}) });
    world = await Proxied.start({ api: { url: api.url } }, { budgets: 'Slow', standIn: SLOW });
  });
  after(async () => {
    await world?.stop();
    await api?.close();
  });

  test('sends nothing for a caller that has hung up in the meantime', async () => {
    assert.equal((await world.call('api', '/a')).status, 200);
    const { hostname, port } = new URL(world.url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    socket.write(`GET /proxy/api/never HTTP/1.1\r\nhost: sts.example.com\r\nauthorization: Bearer ${await world.token('api')}\r\n\r\n`);
    await sleep(300);
    socket.resetAndDestroy();
    const event = await world.event(({ path }) => path === '/never');
    assert.deepEqual([event.outcome, event.status, event.remaining], ['unavailable', undefined, 5]);
    assert.ok(world.lines().some(({ reason }) => reason === 'hung_up'));
    assert.ok(!api.seen.some(({ url }) => url === '/never'), 'nothing arrived');
  });
});

describe('a budget', () => {
  let world, api;

  before(async () => {
    api = await upstream({});
    world = await Proxied.start({ api: { url: api.url, max_requests: 120 }, ten: { url: api.url, max_requests: 10 }, slow: { url: api.url, requests_per_second: 5 } });
  });
  after(async () => {
    await world?.stop();
    await api?.close();
  });

  const statuses = async (answers) => {
    const all = await Promise.all(answers);
    const errors = all.map(({ status, headers }) => (status === 200 ? 'passed' : headers.get('x-octo-sts-error')));
    await Promise.all(all.map((answer) => answer.arrayBuffer()));
    return Object.fromEntries([...new Set(errors)].map((error) => [error, errors.filter((one) => one === error).length]));
  };

  test('lets exactly as many of 200 at once through as it has, tokens of one run being one caller', async () => {
    const arrived = api.seen.length;
    const claims = { run_id: 'ten' };
    const told = await statuses(Array.from({ length: 200 }, () => world.call('ten', '/a', { claims })));
    assert.deepEqual(told, { passed: 10, budget_exhausted: 190 });
    assert.equal(api.seen.length - arrived, 10, 'and as many arrive');
  });

  test('counts on where its object was moved in between', async () => {
    const claims = { run_id: 'moved' };
    const left = async () => {
      const answer = await world.call('ten', '/a', { claims });
      await answer.arrayBuffer();
      return answer.headers.get('x-octo-sts-remaining') ?? answer.headers.get('x-octo-sts-error');
    };
    assert.equal(await left(), '9');
    await world.newIsolate();
    assert.equal(await left(), '8');
    for (let rest = 7; rest >= 0; rest -= 1) assert.equal(await left(), String(rest));
    await world.newIsolate();
    assert.equal(await left(), 'budget_exhausted');
  });

  test('lets no more through in a second than it may, and counts none that it refuses', async () => {
    const claims = { run_id: 'second' };
    const told = await statuses(Array.from({ length: 40 }, () => world.call('slow', '/a', { claims })));
    assert.ok(told.passed >= 5 && told.passed <= 40, JSON.stringify(told));
    assert.equal(told.passed + (told.rate_limited ?? 0), 40);
    let answer;
    do answer = await world.call('slow', '/a', { claims });
    while (answer.status === 429);
    assert.equal(answer.headers.get('x-octo-sts-remaining'), String(10_000 - told.passed - 1));
  });

  test('is each run\'s own, and each upstream\'s', async () => {
    const told = await statuses([
      ...Array.from({ length: 12 }, () => world.call('ten', '/a', { claims: { run_id: 'own' } })),
      world.call('ten', '/a', { claims: { run_id: 'own', run_attempt: '2' } }),
      world.call('ten', '/a', { claims: { run_id: 'another' } }),
      world.call('api', '/a', { claims: { run_id: 'own' } }),
    ]);
    assert.deepEqual(told, { passed: 13, budget_exhausted: 2 });
  });
});

describe('what a budget stores', () => {
  let world, object;

  before(async () => {
    world = await Proxied.start({ api: { url: 'http://127.0.0.1:9' } }, { budgets: 'Observed', standIn: observed('ProxyBudget') });
    const namespace = await world.miniflare.getDurableObjectNamespace('PROXY_BUDGETS');
    object = namespace.get(namespace.idFromName('a'));
  });
  after(() => world?.stop());

  const stored = async () => (await object.fetch('https://proxy-budget.invalid/stored')).json();
  const ask = async (until) => {
    const answer = await object.fetch(`https://proxy-budget.invalid/?take.token.${until}.2.100.0a`);
    return answer.headers.get('x-verdict');
  };

  test('has its objects bound in wrangler.toml, with the storage that they need', () => {
    const text = readFileSync(new URL('../../wrangler.toml', import.meta.url), 'utf8');
    assert.match(text, /^\[\[durable_objects\.bindings\]\]\nname = "PROXY_BUDGETS"\nclass_name = "ProxyBudget"$/m);
    assert.match(text, /^new_sqlite_classes = \["ProxyBudget"\]$/m);
  });

  test('is one entry, until a minute after the last of its tokens is over', async () => {
    const until = Date.now() - 57_500;
    assert.equal(await ask(until), 'taken 1');
    const { entries, alarm } = await stored();
    assert.deepEqual([entries.map(([name]) => name), alarm], [['state'], until + 60_000]);
    assert.equal(await ask(until + 1500), 'taken 0', 'a later token');
    assert.equal(await ask(until), 'exhausted');
    assert.equal((await stored()).entries.length, 1);
    await sleep(until + 60_500 - Date.now());
    assert.equal((await stored()).entries.length, 1, 'the first token is over, the second is not');
    while ((await stored()).entries.length > 0) {
      assert.ok(Date.now() < until + 66_000, 'the alarm');
      await sleep(50);
    }
    assert.ok(Date.now() >= until + 61_500);
    assert.equal(await ask(until + 1500), 'over', 'and nobody begins it anew');
    assert.deepEqual(await stored(), { entries: [], alarm: null });
  });
});
