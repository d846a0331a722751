// A token for a token, from a cold start to a warm isolate, with the requests counted.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';

import { blobSha } from './support/github.mjs';
import { CertifiedIssuer } from './support/provider.mjs';
import { DOMAIN } from './support/worker.mjs';
import { ACTIONS, DEPLOY_POLICY, policyPath, World } from './support/world.mjs';

const ORGANIZATION_POLICY = `issuer: ${ACTIONS}
subject_pattern: repo:acme/app:ref:refs/heads/main
permissions:
  contents: read
repositories: [app, docs]
`;

describe('an exchange', () => {
  let world;

  before(async () => {
    world = await World.start();
    await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
    await world.github.commit('acme/.github', policyPath('readers'), ORGANIZATION_POLICY);
  });
  after(() => world?.stop());
  beforeEach(() => world.internet.reset());

  test('costs at most ten requests when everything is cold and there is no list of issuers, and exactly the mint when warm', async () => {
    await world.exchanged();
    const cold = world.asked();
    assert.ok(cold.length <= 10, `asked ${cold.length}:\n${cold.join('\n')}`);
    await world.settled();

    world.internet.reset();
    await world.exchanged();
    assert.deepEqual(world.asked(), ['POST api.github.com/app/installations/1001/access_tokens']);
    await world.settled();
    assert.equal(world.internet.requests.length, 1, 'and nothing after the answer');
  });

  test('costs exactly the mint in a new isolate when KV is warm', async () => {
    await world.exchanged();
    await world.settled();
    await world.worker.newIsolate();
    world.internet.reset();
    await world.exchanged();
    assert.deepEqual(world.asked(), ['POST api.github.com/app/installations/1001/access_tokens']);
  });

  test('answers with the token and what it may do', async () => {
    const { status, headers, body } = await world.exchange();
    assert.equal(status, 200);
    assert.equal(body.token, body.access_token);
    assert.equal(body.token_type, 'bearer');
    assert.deepEqual(body.permissions, { contents: 'read', issues: 'write' });
    assert.deepEqual(body.repositories, ['app']);
    assert.ok(body.expires_in > 3500 && body.expires_in <= 3600, `expires_in ${body.expires_in}`);
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
    assert.equal(headers.get('x-request-id'), body.request_id);
    assert.equal(headers.get('access-control-allow-origin'), null);
    assert.match(headers.get('x-octo-sts-policy'), new RegExp(`^${blobSha(DEPLOY_POLICY)}; age=\\d+$`));
  });

  test('mints exactly what the policy says, and reads policies with no more than it needs', async () => {
    await world.worker.newIsolate();
    const before = (await world.github.ledger()).length;
    await world.exchanged();
    await world.exchanged({ scope: 'acme', identity: 'readers' });
    const minted = (await world.github.ledger()).slice(before);
    const asText = minted.map(({ permissions, repositories }) => JSON.stringify({ permissions, repositories: repositories.sort() }));
    const deploy = JSON.stringify({ permissions: { contents: 'read', issues: 'write' }, repositories: ['app'] });
    const readers = JSON.stringify({ permissions: { contents: 'read' }, repositories: ['app', 'docs'] });
    assert.equal(asText.filter((entry) => entry === deploy).length, 1);
    assert.equal(asText.filter((entry) => entry === readers).length, 1);
    for (const { permissions, repositories } of minted.filter((_, index) => ![deploy, readers].includes(asText[index]))) {
      assert.deepEqual(permissions, { contents: 'read' });
      assert.equal(repositories.length, 1);
    }
  });

  test('gives a token that can do what the policy says and nothing else', async () => {
    const { token } = await world.exchanged();
    const read = await world.callGitHub(token, 'GET', `/repos/acme/app/contents/${policyPath('deploy')}`);
    assert.equal(read.status, 200);
    const write = await world.callGitHub(token, 'PUT', '/repos/acme/app/contents/evil', { message: 'x', content: 'eA==' });
    assert.equal(write.status, 403);
    const elsewhere = await world.callGitHub(token, 'GET', '/repos/acme/docs/contents/README.md');
    assert.ok([403, 404].includes(elsewhere.status), String(elsewhere.status));
  });

  test('revokes the tokens that it read policies with', async () => {
    await world.github.commit('acme/docs', policyPath('fresh'), DEPLOY_POLICY);
    const known = world.github.minted.length;
    const { token } = await world.exchanged({ scope: 'acme/docs', identity: 'fresh' });
    const readers = world.github.minted.slice(known).filter((minted) => minted !== token);
    assert.ok(readers.length > 0);
    await world.until(() => readers.every((reader) => !world.github.isAlive(reader)), 'the read tokens to be dead');
    assert.ok(world.github.isAlive(token));
  });

  test('takes the names of owners and repositories without regard to case', async () => {
    const { repositories } = await world.exchanged({ scope: 'ACME/App' });
    assert.deepEqual(repositories, ['app']);
  });

  test('ends in exactly one audit event, with the cost and the hash of the token', async () => {
    await world.settled();
    const known = world.worker.events().length;
    const { token, request_id: id } = await world.exchanged();
    await world.settled();
    const events = world.worker.events().slice(known);
    assert.equal(events.length, 1);
    const [event] = events;
    assert.equal(event.event, 'exchange');
    assert.equal(event.outcome, 'granted');
    assert.equal(event.request_id, id);
    assert.equal(event.scope, 'acme/app');
    assert.equal(event.identity, 'deploy');
    assert.equal(event.issuer, ACTIONS);
    assert.equal(event.subject, 'repo:acme/app:ref:refs/heads/main');
    assert.equal(event.installation_id, 1001);
    assert.deepEqual(event.permissions, { contents: 'read', issues: 'write' });
    assert.equal(event.subrequests, 1);
    assert.equal(event.token_sha256, createHash('sha256').update(token).digest('hex'));
    assert.equal(event.hashed_token, createHash('sha256').update(token).digest('base64'));
  });

  test('takes a token of a second, independent issuer', async () => {
    const certified = CertifiedIssuer.start('https://login.example.org', world.internet, { audience: DOMAIN });
    const policy = `issuer: ${certified.url}\nsubject: deployer\npermissions:\n  contents: read\n`;
    await world.github.commit('acme/app', policyPath('certified'), policy);
    const token = await certified.token();
    world.canary(token);
    const { permissions } = await world.exchanged({ identity: 'certified', token });
    assert.deepEqual(permissions, { contents: 'read' });
  });

  test('works for a user account', async () => {
    const policy = `issuer: ${ACTIONS}\nsubject: repo:mona/dotfiles:ref:refs/heads/main\npermissions:\n  contents: write\n`;
    await world.github.commit('mona/dotfiles', policyPath('backup'), policy);
    const token = await world.jobToken({ repository: 'mona/dotfiles' });
    const { permissions } = await world.exchanged({ scope: 'mona/dotfiles', identity: 'backup', token });
    assert.deepEqual(permissions, { contents: 'write' });
  });
});
