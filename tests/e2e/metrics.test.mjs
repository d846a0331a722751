// Data points: what arrives at the binding, in the real runtime. tests/it/metrics.rs tests which point each request
// leaves.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { DEPLOY_POLICY, policyPath, World } from './support/world.mjs';

const messages = (world) => world.worker.lines().map(({ message }) => message);

describe('a service with a dataset', () => {
  let world;

  before(async () => {
    world = await World.start({ metrics: 'recorded' });
    await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
  });
  after(() => world?.stop());

  test('writes one point for each request, in the form that the runtime takes', async () => {
    const { token } = await world.exchanged();
    assert.equal((await world.exchange({ scope: 'nobody/app' })).body.error, 'installation_not_found');
    assert.equal((await world.exchange({ token: 'a.b.c' })).body.error, 'invalid_token');
    assert.equal((await world.revoke(token)).status, 204);
    assert.equal((await world.deliver('ping', { zen: 'Design for failure.' })).status, 202);
    assert.equal((await world.worker.request('/readyz')).status, 200);

    const points = world.worker.points();
    assert.deepEqual(
      points.map(({ indexes, blobs }) => [indexes, blobs.slice(0, 5)]),
      [
        [['acme'], ['exchange', '/sts/exchange', 'granted', 'acme', '']],
        [['exchange'], ['exchange', '/sts/exchange', 'installation_not_found', '', '']],
        [['exchange'], ['exchange', '/sts/exchange', 'invalid_token', '', '']],
        [['revoke'], ['revoke', '/sts/revoke', 'revoked', '', '']],
        [['delivery'], ['delivery', '/webhook', 'ignored', '', '']],
      ],
    );
    const [granted] = points;
    assert.deepEqual(granted.blobs.slice(5, 9), ['origin', 'origin', 'origin', 'origin']);
    assert.equal(granted.blobs.length, 10);
    assert.ok(granted.blobs.every((blob) => typeof blob === 'string'));
    const [milliseconds, sent, left] = granted.doubles;
    assert.ok(milliseconds > 0 && milliseconds < 25_000, String(milliseconds));
    assert.equal(sent, world.worker.events()[0].subrequests);
    assert.ok(Number.isInteger(left) && left >= -1, String(left));
    assert.equal(granted.doubles.length, 3);
  });

  test('says that memory answers a second time', async () => {
    await world.exchanged();
    assert.deepEqual(world.worker.points().at(-1).blobs.slice(5, 9), ['memory', 'memory', 'memory', 'memory']);
  });
});

describe('a service whose dataset fails', () => {
  let world;

  before(async () => {
    world = await World.start({ metrics: 'failing' });
    await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
  });
  after(() => world?.stop());

  test('answers as ever, and says so in one line', async () => {
    await world.exchanged();
    const told = world.worker.lines().filter(({ message }) => message === 'data point not written');
    assert.deepEqual(told.map(({ level, error }) => [level, error]), [['warn', 'the dataset is full']]);
  });
});

test('the binding of the runtime is taken for a dataset', async () => {
  const world = await World.start({ metrics: 'dataset' });
  try {
    assert.equal((await world.exchange({ token: 'a.b.c' })).status, 401);
    assert.ok(!messages(world).includes('data point not written'));
  } finally {
    await world.stop();
  }
});

test('a variable under the name of the dataset is told, and closes nothing', async () => {
  const world = await World.start({ vars: { METRICS: 'true' } });
  try {
    assert.equal((await world.exchange({ token: 'a.b.c' })).status, 401);
    const told = world.worker.lines().find(({ message }) => message === 'data point not written');
    assert.equal(told.error, 'the binding `METRICS` is not an analytics engine dataset');
    const ready = await (await world.worker.request('/readyz')).json();
    assert.deepEqual(ready, { status: 'ready', missing: [], malformed: [] });
  } finally {
    await world.stop();
  }
});
