// GitHub's deliveries, in the real runtime: signed by Octokit or by the stand-in itself, and the effect on check runs
// and caches.

import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';

import { faults } from './support/internet.mjs';
import { ACTIONS, DEPLOY_POLICY, GITHUB_API, policyPath, World } from './support/world.mjs';

const NAME = 'Trust Policy Validation';
const DEPLOY = policyPath('deploy');
const BROKEN_POLICY = DEPLOY_POLICY.replace('contents: read', 'content: read');
const READING_POLICY = DEPLOY_POLICY.replace('  issues: write\n', '');
/** Jobs of another branch only. */
const TIGHTER_POLICY = DEPLOY_POLICY.replace('refs/heads/main', 'refs/heads/release');
const always = Number.POSITIVE_INFINITY;

const is = (answer, status, outcome) =>
  assert.deepEqual([answer.status, answer.body.status ?? answer.body.error], [status, outcome], JSON.stringify(answer.body));

let world;
before(async () => {
  world = await World.start({ vars: { GITHUB_WEBHOOK_SECRET_PREVIOUS: 'the secret before' } });
});
after(() => world?.stop());
beforeEach(async () => {
  await world.settled();
  world.internet.reset();
});

/** The one run of a commit. */
async function runOf(sha) {
  const runs = await world.github.checkRuns('acme/app', sha);
  assert.equal(runs.length, 1, `${runs.length} check runs`);
  assert.deepEqual([runs[0].name, runs[0].status, runs[0].external_id], [NAME, 'completed', sha]);
  return runs[0];
}

/** The requests to GitHub before the answer. */
const askedOfGitHub = () => world.asked().filter((request) => request.includes(GITHUB_API));

/** A number in every file, so that each push changes something. */
let edition = 0;
const edited = (policy) => `# ${(edition += 1)}\n${policy}`;

describe('a delivery is not looked at', () => {
  const ping = { zen: 'Keep it logically awesome.' };

  /** This answer, and no request to anybody. */
  async function refused(answer, status, error) {
    is(await answer, status, error);
    assert.deepEqual(world.internet.requests, []);
  }

  test('unless its signature is there and right', async () => {
    for (const header of ['', 'sha256=', `sha256=${'0'.repeat(64)}`, `sha512=${'0'.repeat(64)}`]) {
      await refused(world.deliver('ping', ping, { headers: { 'x-hub-signature-256': header } }), 401, 'invalid_token');
    }
    await refused(world.deliver('ping', ping, { secret: 'another secret' }), 401, 'invalid_token');
  });

  test('if it is signed with SHA-1 alone', async () => {
    const sha1 = createHmac('sha1', world.webhookSecret).update(JSON.stringify(ping)).digest('hex');
    const headers = { 'x-hub-signature': `sha1=${sha1}`, 'x-hub-signature-256': '' };
    await refused(world.deliver('ping', ping, { headers }), 401, 'invalid_token');
    await refused(world.deliver('ping', ping, { headers: { 'x-hub-signature-256': `sha1=${sha1}` } }), 401, 'invalid_token');
  });

  test('if it is not the JSON of its event', async () => {
    for (const body of [' ', '{', 'null', '[]', '{}', '{"repository": 1}']) await refused(world.deliver('push', body), 400, 'invalid_request');
  });

  test('if it is neither JSON nor a form', async () => {
    for (const type of ['text/plain', 'application/xml', 'application/jsonp']) {
      await refused(world.deliver('ping', ping, { headers: { 'content-type': type } }), 415, 'unsupported_media_type');
    }
  });

  test('if it is larger than 25 MiB, by one byte', async () => {
    const body = ' '.repeat(25 * 1024 * 1024 + 1);
    await refused(world.deliver('ping', body), 413, 'payload_too_large');
  });
});

describe('a delivery that means nothing is accepted', () => {
  async function ignored(answer) {
    is(await answer, 202, 'ignored');
    assert.deepEqual(world.internet.requests, []);
  }

  test('ping, and events that are none of ours', async () => {
    await ignored(world.deliver('ping', { zen: 'x', hook_id: 1 }));
    await ignored(world.deliver('star', { action: 'created' }));
    await ignored(world.deliver('never_heard_of', '"anything"'));
  });

  test('signed with the previous secret, too', async () => {
    await ignored(world.deliver('ping', {}, { secret: 'the secret before' }));
  });

  test('a check suite that a bot caused', async () => {
    const suite = { head_sha: 'a'.repeat(40), head_branch: 'main', before: 'b'.repeat(40), pull_requests: [] };
    const payload = { ...(await world.about()), action: 'requested', check_suite: suite };
    await ignored(world.deliver('check_suite', { ...payload, sender: { login: 'octo-sts[bot]', type: 'Bot' } }));
  });

  test('a deleted branch, a tag, and actions that are none of ours', async () => {
    const about = await world.about();
    const push = { ref: 'refs/heads/x', before: 'a'.repeat(40), after: '0'.repeat(40), deleted: true, commits: [] };
    await ignored(world.deliver('push', { ...push, ...about }));
    await ignored(world.deliver('push', { ...push, after: 'b'.repeat(40), deleted: false, ref: 'refs/tags/v1', ...about }));
    await ignored(world.deliver('pull_request', { action: 'labeled', number: 1, ...about }));
  });

  test('of owners that this server does not serve', async () => {
    await world.worker.newIsolate({ GITHUB_WEBHOOK_ORGANIZATION_FILTER: 'Example, other' });
    const payload = await world.push({ [DEPLOY]: edited(DEPLOY_POLICY) });
    await ignored(world.deliver('push', payload));
    await world.worker.newIsolate({ GITHUB_WEBHOOK_ORGANIZATION_FILTER: 'example, ACME' });
    is(await world.deliver('push', payload), 200, 'validated');
  });
});

describe('a push', () => {
  test('of a valid policy gives its commit a green check run that says who gets what', async () => {
    const payload = await world.push({ [DEPLOY]: edited(DEPLOY_POLICY) });
    is(await world.deliver('push', payload), 200, 'validated');
    const { conclusion, output, annotations } = await runOf(payload.after);
    assert.equal(conclusion, 'success');
    assert.match(output.summary, /<code>acme\/app<\/code> on <code>refs\/heads\/main<\/code> may: contents read, issues write/);
    assert.deepEqual(annotations.filter(({ annotation_level: level }) => level !== 'warning'), []);
  });

  test('of a broken policy gives it a red one, with a note at the line and column', async () => {
    const payload = await world.push({ [DEPLOY]: BROKEN_POLICY });
    is(await world.deliver('push', payload), 200, 'validated');
    const { conclusion, annotations } = await runOf(payload.after);
    assert.equal(conclusion, 'failure');
    const [{ path, start_line: line, start_column: column, annotation_level: level }] = annotations;
    assert.deepEqual({ path, line, column, level }, { path: DEPLOY, line: 4, column: 3, level: 'failure' });
  });

  test('is read as a form as well', async () => {
    const payload = await world.push({ [DEPLOY]: edited(DEPLOY_POLICY) });
    const form = new URLSearchParams({ payload: JSON.stringify(payload) }).toString();
    is(await world.deliver('push', form, { headers: { 'content-type': 'application/x-www-form-urlencoded' } }), 200, 'validated');
  });

  test('without policies costs nothing', async () => {
    const payload = await world.push({ 'README.md': `${(edition += 1)}` });
    is(await world.deliver('push', payload), 200, 'unaffected');
    await world.settled();
    assert.deepEqual(world.internet.requests, []);
  });

  test('with one policy costs six requests before the answer, and its token dies after it', async () => {
    // Checking whether the installation has `issues: write` would cost one more look-up, once an hour.
    const payload = await world.push({ [DEPLOY]: edited(READING_POLICY) });
    is(await world.deliver('push', payload), 200, 'validated');
    await world.settled();
    const { subrequests } = world.worker.lines().findLast(({ message }) => message === 'webhook delivery');
    assert.equal(subrequests, '6');
    const [mint, lookUp, begin, read, second, verdict, again, ...more] = askedOfGitHub();
    assert.match(mint, /^POST .*\/access_tokens$/);
    assert.match(lookUp, /^GET .*\/commits\/[0-9a-f]{40}\/check-runs\?/);
    assert.match(begin, /^POST .*\/check-runs$/);
    assert.match(read, /^GET .*\/contents\//);
    assert.equal(second, lookUp, 'before the verdict: whether another delivery wrote meanwhile');
    assert.match(verdict, /^PATCH .*\/check-runs\/\d+$/);
    assert.equal(again, lookUp, 'after the answer: whether another delivery wrote at the same moment');
    assert.deepEqual(more, []);
    const { permissions, repositories } = (await world.github.ledger()).at(-1);
    assert.deepEqual([permissions, repositories], [{ checks: 'write', contents: 'read' }, ['app']]);
    await world.until(() => !world.github.isAlive(world.github.minted.at(-1)), 'the token to be dead');
  });

  test('that GitHub sends again does nothing, not even in another isolate', async () => {
    const payload = await world.push({ [DEPLOY]: edited(DEPLOY_POLICY) });
    const id = randomUUID();
    is(await world.deliver('push', payload, { id }), 200, 'validated');
    await world.until(() => !world.github.isAlive(world.github.minted.at(-1)), 'the token to be dead');
    await world.settled();
    world.internet.reset();
    is(await world.deliver('push', payload, { id }), 202, 'ignored');
    await world.worker.newIsolate();
    is(await world.deliver('push', payload, { id }), 202, 'ignored');
    assert.deepEqual(world.internet.requests, []);
  });

  test('of twenty commits is compared', async () => {
    const { commits, ...payload } = await world.push({ [DEPLOY]: BROKEN_POLICY, 'README.md': `${(edition += 1)}` });
    is(await world.deliver('push', { ...payload, commits: Array(20).fill({ added: [], modified: [], removed: [] }) }), 200, 'validated');
    assert.ok(askedOfGitHub().some((request) => request.includes('/compare/')));
    assert.equal((await runOf(payload.after)).conclusion, 'failure');
  });
});

describe('a commit', () => {
  /** A branch with one broken and, in a later push, one valid policy, and its pull request. */
  async function pullRequest() {
    const branch = `change-${(edition += 1)}`;
    await world.github.branch('acme/app', branch);
    await world.push({ [policyPath('broken')]: edited(BROKEN_POLICY) }, { branch });
    const number = await world.github.openPullRequest('acme/app', branch);
    const push = await world.push({ [policyPath('good')]: edited(DEPLOY_POLICY) }, { branch });
    const about = await world.about();
    const pull = await world.github.pullRequest('acme/app', number);
    const suite = { head_sha: push.after, head_branch: branch, before: push.before, pull_requests: [{ number, base: pull.base }] };
    return {
      sha: push.after,
      deliveries: {
        push,
        pull_request: { action: 'synchronize', number, pull_request: pull, ...about },
        check_suite: { action: 'requested', check_suite: suite, ...about },
      },
    };
  }

  for (const order of [
    ['push', 'pull_request', 'check_suite'],
    ['check_suite', 'pull_request', 'push'],
    ['pull_request', 'push', 'check_suite'],
  ]) {
    test(`has exactly one check run after ${order.join(', ')}`, async () => {
      const { sha, deliveries } = await pullRequest();
      for (const event of order) is(await world.deliver(event, deliveries[event]), 200, 'validated');
      const { conclusion, output } = await runOf(sha);
      assert.equal(conclusion, 'failure', 'the broken file of the push before counts');
      for (const name of ['broken', 'good']) assert.ok(output.summary.includes(name), name);
    });
  }

  test('has one that says the same, whoever created it, when its deliveries come at once', async () => {
    const { sha, deliveries } = await pullRequest();
    const answers = await Promise.all(Object.entries(deliveries).map(([event, payload]) => world.deliver(event, payload)));
    for (const answer of answers) is(answer, 200, 'validated');
    await world.settled();
    const runs = await world.github.checkRuns('acme/app', sha);
    for (const { status, conclusion } of runs) assert.deepEqual([status, conclusion], ['completed', 'failure']);
  });
});

describe('the next exchange', () => {
  const deploys = async () => (await world.exchange()).status;

  async function pushed(text) {
    is(await world.deliver('push', await world.push({ [DEPLOY]: text })), 200, 'validated');
  }

  beforeEach(async () => {
    await pushed(edited(DEPLOY_POLICY));
    assert.equal(await deploys(), 200);
    await world.settled();
  });

  test('goes by a policy that was tightened, in this isolate and in a new one', async () => {
    await pushed(edited(TIGHTER_POLICY));
    assert.equal(await deploys(), 403);

    await pushed(edited(DEPLOY_POLICY));
    assert.equal(await deploys(), 200);
    await world.settled();
    await pushed(edited(TIGHTER_POLICY));
    await world.worker.newIsolate();
    assert.equal(await deploys(), 403, 'KV has forgotten it as well');
  });

  test('still goes by the old one where nobody told: what this test is about is real', async () => {
    await world.push({ [DEPLOY]: edited(TIGHTER_POLICY) });
    assert.equal(await deploys(), 200);
    await world.worker.newIsolate();
    assert.equal(await deploys(), 200);
  });

  test('knows that a policy was deleted', async () => {
    await pushed(undefined);
    assert.equal(await deploys(), 404);
    await world.worker.newIsolate();
    assert.equal(await deploys(), 404);
  });

  test('knows that a policy is there that was not', async () => {
    const identity = `later-${(edition += 1)}`;
    assert.equal((await world.exchange({ identity })).status, 404);
    await world.settled();
    const payload = await world.push({ [policyPath(identity)]: DEPLOY_POLICY });
    assert.equal((await world.exchange({ identity })).status, 404, 'its absence is remembered');
    is(await world.deliver('push', payload), 200, 'validated');
    assert.equal((await world.exchange({ identity })).status, 200);
  });

  test('goes by the old policy after a push to another branch', async () => {
    const branch = `elsewhere-${(edition += 1)}`;
    await world.github.branch('acme/app', branch);
    const payload = await world.push({ [DEPLOY]: edited(TIGHTER_POLICY) }, { branch });
    is(await world.deliver('push', payload), 200, 'validated');
    await world.settled();
    world.internet.reset();
    assert.equal(await deploys(), 200);
    assert.equal(world.internet.requests.length, 1, 'and the caches still hold it');
  });

  test('knows it although GitHub fails at the check run', async () => {
    const payload = await world.push({ [DEPLOY]: edited(TIGHTER_POLICY) });
    world.internet.breakNext({ host: GITHUB_API, path: /access_tokens$/ }, faults.answer({ status: 500 }));
    is(await world.deliver('push', payload), 503, 'unavailable');
    assert.equal(await deploys(), 403);
  });
});

describe('GitHub that fails', () => {
  const secondary = { status: 403, headers: { 'retry-after': '30' } };
  const failing = [
    ['403', { status: 403 }, 503],
    ['404', { status: 404 }, 503],
    ['422', { status: 422 }, 503],
    ['429', { status: 429 }, 200],
    ['403 with Retry-After', secondary, 200],
    ['500', { status: 500 }, 503],
    ['502', { status: 502 }, 503],
    ['a reset', undefined, 503],
    ['what cannot be read', { status: 200, body: '<html>' }, 502],
  ];
  // For a file, these are its own failure. The folder replaces an unavailable comparison.
  const validated = { content: ['403', '404'], compare: ['404'] };
  const calls = {
    mint: { path: /access_tokens$/ },
    'look-up': { method: 'GET', path: /\/check-runs\?/ },
    content: { path: /\/contents\/.*sts\.yaml/ },
    create: { method: 'POST', path: /\/check-runs$/ },
    update: { method: 'PATCH', path: /\/check-runs\/\d+$/ },
    compare: { path: /\/compare\// },
    'pull request': { path: /\/pulls\/\d+\/files/ },
  };

  async function eventWith(call) {
    if (call === 'pull request') {
      const branch = `failing-${(edition += 1)}`;
      await world.github.branch('acme/app', branch);
      const { after: sha } = await world.github.push('acme/app', { [DEPLOY]: edited(DEPLOY_POLICY) }, branch);
      const number = await world.github.openPullRequest('acme/app', branch);
      const pull = await world.github.pullRequest('acme/app', number);
      return { sha, event: 'pull_request', payload: { action: 'opened', number, pull_request: pull, ...(await world.about()) } };
    }
    const payload = await world.push({ [DEPLOY]: edited(DEPLOY_POLICY) });
    if (call === 'update') is(await world.deliver('push', payload), 200, 'validated');
    if (call === 'compare') payload.commits = Array(20).fill({});
    return { sha: payload.after, event: 'push', payload };
  }

  for (const [call, match] of Object.entries(calls)) {
    test(`at the ${call} leaves nothing half done, and a redelivery completes it`, async () => {
      await world.newHour();
      for (const [what, answer, status] of failing) {
        const { sha, event, payload } = await eventWith(call);
        const id = randomUUID();
        world.internet.reset();
        const fault = answer ? faults.answer({ body: { message: 'no' }, ...answer }) : faults.reset();
        world.internet.breakNext({ host: GITHUB_API, ...match }, fault, always);
        const answered = await world.deliver(event, payload, { id });
        const isValidated = validated[call]?.includes(what);
        const label = `${call}: ${what}: ${JSON.stringify(answered.body)}`;
        assert.equal(answered.status, isValidated ? 200 : status, label);
        assert.ok(world.internet.requestsTo(match).length > 0, label);
        if (!isValidated && status === 200) assert.equal(answered.body.status, 'rate_limited', label);
        await world.settled();
        const runs = await world.github.checkRuns('acme/app', sha);
        if (isValidated) {
          assert.equal(runs[0].conclusion, call === 'content' ? 'failure' : 'success', label);
        } else {
          // Of several runs, GitHub shows the newest.
          assert.notEqual(runs.toSorted((one, other) => other.id - one.id)[0]?.conclusion, 'success', label);
          // Any run that can still be written says what happened.
          if (!['create', 'update'].includes(call)) assert.ok(runs.every((run) => run.conclusion === 'failure'), label);
          world.internet.reset();
          is(await world.deliver(event, payload, { id }), 200, 'validated');
          const after = await world.github.checkRuns('acme/app', sha);
          assert.ok(after.length > 0 && after.every((run) => run.conclusion === 'success'), label);
        }
      }
    });
  }
});

describe('the stand-in itself', () => {
  test('delivers a push, signed, and finds its check run', async () => {
    const other = await World.start({ withDeliveries: true });
    try {
      const { after: sha } = await other.github.push('acme/app', { [DEPLOY]: `issuer: ${ACTIONS}\nsubject: x\npermission: {}\n` });
      const pushes = () => other.delivered.filter(({ event }) => event === 'push');
      await other.until(() => pushes().length === 1, 'the delivery');
      const [{ signature, status, body }] = pushes();
      assert.match(signature, /^sha256=[0-9a-f]{64}$/);
      assert.deepEqual([status, body], [200, { status: 'validated', conclusion: 'failure', files: 1 }]);
      const [run] = await other.github.checkRuns('acme/app', sha);
      assert.deepEqual([run.name, run.conclusion], [NAME, 'failure']);
      await other.until(() => other.delivered.some(({ event }) => event === 'check_run'), "the check run's own event");
      for (const answer of other.delivered) assert.ok(answer.status < 300, JSON.stringify(answer));
    } finally {
      await other.stop();
    }
  });
});
