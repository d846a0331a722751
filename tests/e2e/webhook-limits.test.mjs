// The largest deliveries that GitHub sends, and the longest lists that it answers. Times and requests are recorded for
// docs/webhook.md; only the results are asserted.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { DEPLOY_POLICY, GITHUB_API, policyPath, World } from './support/world.mjs';

const MAX_BODY = 25 * 1024 * 1024;
/** A request for each of a hundred policies, and few more. */
const MAX_REQUESTS = 120;

let world;
before(async () => {
  world = await World.start();
});
after(() => world?.stop());
beforeEach(async () => {
  await world.settled();
  world.internet.reset();
});

/** Delivers, and resolves to the answer's body. */
async function measured(context, event, payload, options) {
  const body = typeof payload === 'string' ? payload : JSON.stringify(payload);
  const began = Date.now();
  const answer = await world.deliver(event, body, options);
  const milliseconds = Date.now() - began;
  await world.settled();
  const requests = world.internet.requestsTo({ host: GITHUB_API }).length;
  context.diagnostic(`${(body.length / 1024 / 1024).toFixed(1)} MiB, ${milliseconds} ms, ${requests} requests in all`);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  assert.ok(requests <= MAX_REQUESTS, `${requests} requests`);
  return answer.body;
}

describe('a delivery at the limit', () => {
  test('of exactly 25 MiB, in nineteen commits of many files', async (context) => {
    const payload = await world.push({ [policyPath('deploy')]: DEPLOY_POLICY });
    const names = Array.from({ length: 17_000 }, (_, index) => `src/a/long/path/of/a/folder/that/somebody/had/to/name/file-${index}.rs`);
    for (let index = 1; index < 19; index += 1) payload.commits.push({ ...payload.commits[0], added: names, modified: [], removed: [] });
    payload.padding = '';
    const missing = MAX_BODY - Buffer.byteLength(JSON.stringify(payload));
    assert.ok(missing >= 0, `${-missing} bytes too many`);
    payload.padding = ' '.repeat(missing);
    const body = await measured(context, 'push', payload);
    assert.deepEqual(body, { status: 'validated', conclusion: 'success', files: 1 });
  });

  test('of exactly 25 MiB, as a form', async (context) => {
    const payload = await world.push({ [policyPath('deploy')]: `# as a form\n${DEPLOY_POLICY}` });
    const form = (padding) => new URLSearchParams({ payload: JSON.stringify({ ...payload, padding }) }).toString();
    const body = form('x'.repeat(MAX_BODY - form('').length));
    assert.equal(body.length, MAX_BODY);
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    assert.deepEqual(await measured(context, 'push', body, { headers }), { status: 'validated', conclusion: 'success', files: 1 });
  });

  test('about a pull request of 3000 files, two of them policies', async (context) => {
    await world.github.branch('acme/app', 'large');
    await world.push({ [policyPath('first')]: DEPLOY_POLICY, [policyPath('last')]: DEPLOY_POLICY }, { branch: 'large' });
    const number = await world.github.openPullRequest('acme/app', 'large');
    const files = Array.from({ length: 2998 }, (_, index) => ({ filename: `src/file-${index}.rs`, status: 'added', patch: 'x'.repeat(500) }));
    const policy = (identity) => ({ filename: policyPath(identity), status: 'added' });
    world.github.list('acme/app', number, [policy('first'), ...files, policy('last')]);
    const pull = await world.github.pullRequest('acme/app', number);
    assert.equal(pull.changed_files, 3000);
    const payload = { action: 'opened', number, pull_request: pull, ...(await world.about()) };
    const body = await measured(context, 'pull_request', payload);
    assert.deepEqual(body, { status: 'validated', conclusion: 'success', files: 2 });
    assert.equal(world.internet.requestsTo({ path: /\/pulls\/\d+\/files/ }).length, 30);
  });

  test('about a pull request of 3001 files, which GitHub does not list', async (context) => {
    await world.github.branch('acme/app', 'larger');
    await world.push({ [policyPath('first')]: DEPLOY_POLICY }, { branch: 'larger' });
    const number = await world.github.openPullRequest('acme/app', 'larger');
    const pull = { ...(await world.github.pullRequest('acme/app', number)), changed_files: 3001 };
    const body = await measured(context, 'pull_request', { action: 'opened', number, pull_request: pull, ...(await world.about()) });
    assert.equal(body.conclusion, 'failure');
    const [{ output }] = await world.github.checkRuns('acme/app', pull.head.sha);
    assert.match(output.title + output.summary, /too many files/i);
  });

  test('of 250 commits', async (context) => {
    const payload = await world.push({ [policyPath('deploy')]: `# again\n${DEPLOY_POLICY}` });
    const commit = { ...payload.commits[0], added: [], modified: [], message: 'x'.repeat(1000) };
    const commits = Array.from({ length: 250 }, () => commit);
    const body = await measured(context, 'push', { ...payload, commits });
    assert.deepEqual(body, { status: 'validated', conclusion: 'success', files: 1 });
  });

  test('that names 9,990 policies', async (context) => {
    const payload = await world.push({ [policyPath('deploy')]: `# once more\n${DEPLOY_POLICY}` });
    const added = Array.from({ length: 9_990 }, (_, index) => policyPath(`policy-${index}`));
    // GitHub lists at most three thousand files of one commit.
    const commits = Array.from({ length: 5 }, (_, index) => added.slice(index * 1_998, (index + 1) * 1_998));
    payload.commits = commits.map((some) => ({ ...payload.commits[0], added: some, modified: [], removed: [] }));
    const body = await measured(context, 'push', payload);
    assert.deepEqual(body, { status: 'validated', conclusion: 'failure', files: 9_990 });
    const [{ output }] = await world.github.checkRuns('acme/app', payload.after);
    assert.match(output.summary, /9990 policy files/);
  });

  test('of policies full of what takes four bytes a character', async (context) => {
    const files = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [
      policyPath(`squid-${index}`),
      `issuer: https://token.actions.githubusercontent.com\nsubject: '${'🦑'.repeat(200)}'\npermissions: {contents: read}\n`,
    ]));
    const payload = await world.push(files);
    payload.commits = [{ ...payload.commits[0], added: Object.keys(files) }];
    const body = await measured(context, 'push', payload);
    assert.deepEqual(body, { status: 'validated', conclusion: 'success', files: 30 });
    const [{ output }] = await world.github.checkRuns('acme/app', payload.after);
    assert.ok(Buffer.byteLength(output.summary) <= 60_000);
  });

  test('of 100 broken policies with many mistakes each', async (context) => {
    const broken = `issuer: https://token.actions.githubusercontent.com\nsubject: x\npermissions:\n${Array.from({ length: 10 }, (_, i) => `  wrong_${i}: read\n`).join('')}`;
    const files = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [policyPath(`broken-${i}`), broken]));
    const payload = await world.push(files);
    payload.commits = [{ ...payload.commits[0], added: Object.keys(files) }];
    const body = await measured(context, 'push', payload);
    assert.deepEqual(body, { status: 'validated', conclusion: 'failure', files: 100 });
    const [run] = await world.github.checkRuns('acme/app', payload.after);
    assert.equal(run.annotations.length, 200, 'four requests of fifty');
  });
});
