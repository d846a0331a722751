// The bundle against the built Worker in the real runtime, with GitHub and its Actions played: what a workflow step does.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { DEPLOY_POLICY, policyPath, World } from '../e2e/support/world.mjs';
import { DOMAIN } from '../e2e/support/worker.mjs';
import { StandIn, Step } from './runner.mjs';

describe('the action and the Worker', () => {
  let world;
  let relay;
  let claims = {};

  before(async () => {
    world = await World.start();
    await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
    await world.github.commit('acme/.github', policyPath('deploy'), `${DEPLOY_POLICY}repositories: [app]\n`);
    // The way from the runner to the Worker, and the job's token service beside it.
    relay = await StandIn.start(async ({ method, path, headers, body }) => {
      const url = new URL(path, 'http://runner');
      if (url.pathname === '/idtoken') return { json: { value: await world.jobToken({ aud: url.searchParams.get('audience'), ...claims }) } };
      const { host, connection, 'content-length': length, 'transfer-encoding': encoding, ...rest } = headers;
      const answer = await world.worker.request(path, { method, headers: rest, body: body || undefined });
      return { status: answer.status, headers: Object.fromEntries(answer.headers), text: await answer.text() };
    });
  });
  after(async () => {
    await relay?.stop();
    await world?.stop();
  });
  beforeEach(() => {
    claims = {};
    world.internet.reset();
  });

  const step = (inputs) => new Step({ tokens: relay.url, inputs: { domain: relay.host, audience: DOMAIN, identity: 'deploy', ...inputs } });
  /** Whether this Worker narrows: a build without the token endpoint does not. */
  const narrows = async () => (await world.worker.request('/.well-known/oauth-authorization-server')).status === 200;

  test('a token that lives until the job ends', async () => {
    const job = step();
    const { code, outputs, log } = await job.main();
    assert.equal(code, 0, log);
    assert.ok(world.github.isAlive(outputs.token));
    assert.ok(Date.parse(outputs['expires-at']) > Date.now());
    assert.equal(JSON.parse(outputs.permissions).issues, 'write');
    assert.equal((await job.post()).code, 0);
    assert.ok(!world.github.isAlive(outputs.token));
  });

  test('a token for an organization', async () => {
    const { code, outputs, log } = await step({ scope: 'acme' }).main();
    assert.equal(code, 0, log);
    assert.ok(world.github.isAlive(outputs.token));
  });

  test('a refusal is asked once and told', async () => {
    claims = { ref: 'refs/heads/dev', sub: 'repo:acme/app:ref:refs/heads/dev' };
    const asked = relay.requests.length;
    const { code, log, summary, outputs } = await step().main();
    assert.equal(code, 1);
    assert.deepEqual(outputs, {});
    assert.equal(relay.requests.length - asked, 2);
    assert.match(log, /::error title=octo-sts::the token's subject `repo:acme\/app:ref:refs\/heads\/dev` does not satisfy the policy/);
    assert.match(summary, /\| <code>sub<\/code> \| <code>repo:acme\/app:ref:refs\/heads\/dev<\/code> \| \*\*refused\*\* \|/);
  });

  test('a policy that is not there', async () => {
    const { code, log } = await step({ identity: 'nothing' }).main();
    assert.equal(code, 1);
    assert.match(log, /looked for `\.github\/chainguard\/nothing\.sts\.yaml`/);
  });

  test('a wrong audience', async () => {
    const { code, log } = await step({ audience: 'sts.elsewhere.example' }).main();
    assert.equal(code, 1);
    assert.match(log, /audience/);
  });

  test('fewer permissions than the policy grants, or no token at all', async () => {
    const job = step({ permissions: 'issues:read' });
    const { code, outputs, log } = await job.main();
    if (await narrows()) {
      assert.equal(code, 0, log);
      assert.equal(JSON.parse(outputs.permissions).issues, 'read');
      assert.equal(JSON.parse(outputs.permissions).contents, undefined);
      await job.post();
    } else {
      assert.equal(code, 1);
      assert.match(log, /more than was asked for/);
      assert.ok(!world.github.isAlive(world.github.minted.at(-1)), 'the wider token is revoked');
    }
  });
});
