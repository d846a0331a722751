// The bundle against the built Worker in the real runtime, with stand-ins for GitHub and its Actions: what a workflow
// step does.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';

import { ACTIONS, DEPLOY_POLICY, policyPath, World } from '../e2e/support/world.mjs';
import { DOMAIN } from '../e2e/support/worker.mjs';
import { StandIn, Step } from './runner.mjs';

const ISSUER_PRIVATE_KEY = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
const MODELS_KEY = 'sk-models-canary-0123456789';
const UPSTREAMS = JSON.stringify({
  models: {
    url: 'https://models.example.com',
    credential: { secret: { name: 'MODELS_KEY', header: 'x-api-key' } },
    allow: [{ issuer: ACTIONS, subject: 'repo:acme/app:ref:refs/heads/main' }],
  },
});

describe('the action and the Worker', () => {
  let world;
  let relay;
  let claims = {};

  before(async () => {
    world = await World.start({ proxyBudgets: 'ProxyBudget', vars: { ISSUER_PRIVATE_KEY, UPSTREAMS, MODELS_KEY } });
    world.canary(ISSUER_PRIVATE_KEY.split('\n')[1]);
    world.internet.host('models.example.com', (incoming, outgoing) => {
      outgoing.writeHead(incoming.headers['x-api-key'] === MODELS_KEY ? 200 : 401).end('a model');
    });
    await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
    await world.github.commit('acme/.github', policyPath('deploy'), `${DEPLOY_POLICY}repositories: [app]\n`);
    await world.github.commit('acme/.github', policyPath('wide'), `${DEPLOY_POLICY}repositories: [app, docs]\n`);
    // The way from the runner to the Worker, and the job's token service beside it.
    relay = await StandIn.start(async ({ method, path, headers, body }) => {
      const url = new URL(path, 'http://runner');
      if (url.pathname === '/idtoken') return { json: { value: await world.jobToken({ aud: url.searchParams.get('audience'), ...claims }) } };
      const { host, connection, 'content-length': length, 'transfer-encoding': encoding, ...rest } = headers;
      // The action uses the runner's address of the service; the service knows only its domain.
      const asked = body.replaceAll(encodeURIComponent(relay.host), DOMAIN);
      const answer = await world.worker.request(path, { method, headers: rest, body: asked || undefined });
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
    assert.match(summary, /\| <code>sub<\/code> \| <code>repo:acme\/app:ref:refs\/heads\/dev<\/code> \| ❌ refused \|/);
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

  test('fewer permissions than the policy grants', async () => {
    const job = step({ permissions: 'issues:read' });
    const { code, outputs, log } = await job.main();
    assert.equal(code, 0, log);
    const { metadata, ...permissions } = JSON.parse(outputs.permissions);
    assert.deepEqual(permissions, { issues: 'read' });
    assert.ok(world.github.isAlive(outputs.token));
    await job.post();
    assert.ok(!world.github.isAlive(outputs.token));
  });

  test('fewer repositories than the policy of an organization covers', async () => {
    const job = step({ scope: 'acme', identity: 'wide', repositories: 'docs' });
    const { code, outputs, log } = await job.main();
    assert.equal(code, 0, log);
    const read = (name) => world.callGitHub(outputs.token, 'GET', `/repos/acme/${name}/contents/README.md`);
    assert.equal((await read('docs')).status, 200);
    assert.notEqual((await read('app')).status, 200);
  });

  for (const [what, inputs, message] of [
    ['a permission that the policy does not grant', { permissions: 'checks:write' }, /checks/],
    ['a level above the policy', { permissions: 'contents:write' }, /contents/],
    ['a repository that the policy does not cover', { scope: 'acme', identity: 'wide', repositories: '.github' }, /\.github/],
  ]) {
    test(`${what} is refused, and nothing is minted`, async () => {
      const minted = world.github.minted.length;
      const { code, outputs, log } = await step(inputs).main();
      assert.equal(code, 1);
      assert.deepEqual(outputs, {});
      assert.match(log, message);
      assert.equal(world.internet.requestsTo({ method: 'POST', path: /access_tokens$/ }).filter(({ body }) => /checks|"write"/.test(body)).length, 0);
      assert.ok(world.github.minted.slice(minted).every((token) => !log.includes(token)));
    });
  }

  test('a session for the proxy, until the job ends', async () => {
    const audience = `https://${DOMAIN}/proxy/models`;
    const job = step({ identity: '', upstream: 'models', audience });
    const { code, outputs, log } = await job.main();
    assert.equal(code, 0, log);
    assert.equal(outputs['base-url'], `${relay.url}/proxy/models`);
    assert.ok(Date.parse(outputs['expires-at']) > Date.now() + 50 * 60_000);
    // Like a call from a later step of the job.
    const call = () => fetch(`${outputs['base-url']}/v1/models`, { headers: { 'x-api-key': outputs.token } });
    const answer = await call();
    assert.deepEqual([answer.status, await answer.text()], [200, 'a model']);
    const end = await job.post();
    assert.equal(end.code, 0);
    assert.match(end.log, /the token is revoked/);
    assert.equal((await call()).status, 401);
    const [asked] = world.internet.requestsTo({ host: 'models.example.com' });
    assert.equal(asked.headers['x-api-key'], MODELS_KEY);
    assert.equal(world.internet.requestsTo({ host: 'models.example.com' }).length, 1);
  });

  test('a session that the rules do not allow', async () => {
    claims = { ref: 'refs/heads/dev', sub: 'repo:acme/app:ref:refs/heads/dev' };
    const { code, outputs, log } = await step({ identity: '', upstream: 'models', audience: `https://${DOMAIN}/proxy/models` }).main();
    assert.equal(code, 1);
    assert.deepEqual(outputs, {});
    assert.match(log, /repo:acme\/app:ref:refs\/heads\/dev/);
  });

  test('an upstream that does not exist', async () => {
    const { code, log } = await step({ identity: '', upstream: 'nothing', audience: `https://${DOMAIN}/proxy/nothing` }).main();
    assert.equal(code, 1);
    assert.match(log, /::error title=octo-sts::/);
  });
});
