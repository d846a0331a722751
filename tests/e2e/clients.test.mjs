// The requests of existing clients, byte for byte: the published GitHub Action of the Go service, and the
// `curl` lines of its documentation.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { DEPLOY_POLICY, policyPath, World } from './support/world.mjs';
import { DOMAIN } from './support/worker.mjs';

describe('clients of the Go service', () => {
  let world;

  before(async () => {
    world = await World.start();
    await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
    const organization = DEPLOY_POLICY + 'repositories: [app]\n';
    await world.github.commit('acme/.github', policyPath('deploy'), organization);
  });
  after(() => world?.stop());
  beforeEach(() => world.internet.reset());

  /** One request as bytes; resolves to `{status, body}`. */
  const send = (line, ...headers) => world.worker.raw([line, `Host: ${DOMAIN}`, ...headers, '', ''].join('\r\n'));
  const bearer = async (claims) => `Authorization: Bearer ${await world.jobToken(claims)}`;

  test('the action: GET with scope and scopes, raw values', async () => {
    const line = 'GET /sts/exchange?scope=acme/app&scopes=acme/app&identity=deploy HTTP/1.1';
    const { status, body } = await send(line, await bearer(), 'Accept: */*', 'User-Agent: node');
    assert.equal(status, 200);
    assert.ok(world.github.isAlive(body.token));
  });

  test('the action of older releases: GET with scope alone', async () => {
    const { status } = await send('GET /sts/exchange?scope=acme/app&identity=deploy HTTP/1.1', await bearer());
    assert.equal(status, 200);
  });

  test('the action for an organization', async () => {
    const line = 'GET /sts/exchange?scope=acme&scopes=acme&identity=deploy HTTP/1.1';
    const { status, body } = await send(line, await bearer());
    assert.equal(status, 200);
    assert.deepEqual(body.repositories, ['app']);
  });

  test('curl -X POST with encoded values', async () => {
    const line = 'POST /sts/exchange?scope=acme%2Fapp&identity=deploy HTTP/1.1';
    const { status } = await send(line, await bearer(), 'User-Agent: curl/8.5.0', 'Accept: */*', 'Content-Length: 0');
    assert.equal(status, 200);
  });

  test('a refusal has what both kinds of clients read', async () => {
    const line = 'GET /sts/exchange?scope=acme/app&scopes=acme/app&identity=deploy HTTP/1.1';
    const { status, body } = await send(line, await bearer({ ref: 'refs/heads/dev' }));
    assert.equal(status, 403);
    assert.equal(body.code, 7);
    assert.equal(body.error, 'permission_denied');
    assert.equal(body.message, body.error_description);
    assert.deepEqual(body.details, []);
    assert.match(body.message, /`repo:acme\/app:ref:refs\/heads\/dev`/);
    assert.ok(!body.message.includes('refs/heads/main'), 'the policy\'s own value is nobody\'s business');
  });

  test('the three tries of the action cost GitHub nothing after the first', async () => {
    const line = 'GET /sts/exchange?scope=acme/app&scopes=acme/app&identity=deploy HTTP/1.1';
    const authorization = await bearer({ ref: 'refs/heads/dev' });
    await send(line, authorization);
    await world.settled();
    world.internet.reset();
    await send(line, authorization);
    await send(line, authorization);
    await world.settled();
    assert.deepEqual(world.asked(), []);
  });
});
