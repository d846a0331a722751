// Revoking a token.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { faults } from './support/internet.mjs';
import { DEPLOY_POLICY, GITHUB_API, policyPath, World } from './support/world.mjs';

describe('a revocation', () => {
  let world;
  const deletion = { host: GITHUB_API, method: 'DELETE', path: '/installation/token' };

  before(async () => {
    world = await World.start();
    await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
  });
  after(() => world?.stop());
  beforeEach(() => world.internet.reset());

  test('kills the token', async () => {
    const { token } = await world.exchanged();
    const path = `/repos/acme/app/contents/${policyPath('deploy')}`;
    assert.equal((await world.callGitHub(token, 'GET', path)).status, 200);
    const { status, headers } = await world.revoke(token);
    assert.equal(status, 204);
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.equal((await world.callGitHub(token, 'GET', path)).status, 401);
  });

  test('of a dead token succeeds as well', async () => {
    const { token } = await world.exchanged();
    assert.equal((await world.revoke(token)).status, 204);
    assert.equal((await world.revoke(token)).status, 204);
  });

  test('forwards installation tokens only', async () => {
    for (const token of ['ghp_0123456789', 'gho_0123456789', 'github_pat_0123456789', 'eyJhbGciOiJSUzI1NiJ9.e30.e30']) {
      assert.equal((await world.revoke(token)).status, 400, token);
    }
    await world.settled();
    assert.deepEqual(world.internet.requests, []);
  });

  test('says what GitHub says when it does not work', async () => {
    world.internet.breakNext(deletion, faults.answer({ status: 429, headers: { 'retry-after': '7' } }));
    const limited = await world.revoke('ghs_0123456789');
    assert.equal(limited.status, 429);
    assert.equal(limited.headers.get('retry-after'), '7');

    world.internet.breakNext(deletion, faults.answer({ status: 500 }));
    const failed = await world.revoke('ghs_0123456789');
    assert.equal(failed.status, 503);
    assert.ok(Number(failed.headers.get('retry-after')) > 0);

    world.internet.breakNext(deletion, faults.reset());
    assert.equal((await world.revoke('ghs_0123456789')).status, 503);
  });

  test('ends in exactly one audit event without the token', async () => {
    const { token } = await world.exchanged();
    await world.settled();
    const known = world.worker.events().length;
    await world.revoke(token);
    await world.settled();
    const events = world.worker.events().slice(known);
    assert.equal(events.length, 1);
    assert.equal(events[0].event, 'revoke');
    assert.equal(events[0].outcome, 'revoked');
    assert.ok(events[0].token_sha256);
  });
});
