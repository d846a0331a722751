// The service's own limits: Cloudflare's rate limiting bindings, as emulated by the runtime. It counts in windows of
// clock minutes, so a story that crosses into the next one is admitted a second time.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { ACTIONS, answerOf, policyPath, World } from './support/world.mjs';

const POLICY = `issuer: ${ACTIONS}
subject_pattern: repo:acme/app:ref:refs/heads/[a-z0-9-]+
permissions:
  contents: read
`;

const IDENTITY = 5;
const OWNER = 20;
const FAILURES = 4;

/** Repeats the request until the answer is 429, at the earliest after `limit` others; resolves to it. */
async function untilLimited(limit, ask) {
  for (let asked = 0; asked <= 2 * (limit + 5); asked += 1) {
    const answer = await ask(asked);
    if (answer.status !== 429) continue;
    assert.ok(asked >= limit, `limited after ${asked}`);
    assert.equal(answer.body.error, 'rate_limited');
    assert.equal(answer.body.code, 8);
    assert.equal(answer.headers.get('retry-after'), '60');
    return answer;
  }
  return assert.fail('never limited');
}

describe('a service with limits', () => {
  let world;

  /** An exchange of a job on a branch; every branch is its own identity. */
  const exchange = async ({ branch, scope = 'acme/app', identity = 'deploy', token, address = '192.0.2.1' }) => {
    const credential = token ?? (await world.jobToken({ ref: `refs/heads/${branch}` }));
    return answerOf(
      await world.worker.request(`/sts/exchange?${new URLSearchParams({ scope, identity })}`, {
        headers: { authorization: `Bearer ${credential}`, 'cf-connecting-ip': address },
      }),
    );
  };

  before(async () => {
    world = await World.start({
      limits: { RATE_LIMIT_IDENTITY: IDENTITY, RATE_LIMIT_OWNER: OWNER, RATE_LIMIT_FAILURES: FAILURES },
    });
    for (const repository of ['acme/app', 'mona/dotfiles']) {
      await world.github.commit(repository, policyPath('deploy'), POLICY);
    }
  });
  after(() => world?.stop());

  test('says which limits hold, beside a body that is as ever', async () => {
    const { headers, body } = await answerOf(await world.worker.request('/readyz'));
    assert.equal(headers.get('x-octo-sts-limits'), 'RATE_LIMIT_IDENTITY, RATE_LIMIT_OWNER, RATE_LIMIT_FAILURES');
    assert.deepEqual(body, { status: 'ready', missing: [], malformed: [] });
  });

  test('limits one identity, and no other', async () => {
    const { body } = await untilLimited(IDENTITY, () => exchange({ branch: 'busy', scope: 'mona/dotfiles' }));
    assert.equal(body.message, "too many exchanges by the token's subject");
    assert.equal((await exchange({ branch: 'calm', scope: 'mona/dotfiles' })).status, 200);
    const event = world.worker.events().find(({ outcome }) => outcome === 'rate_limited');
    assert.equal(event.subject, 'repo:acme/app:ref:refs/heads/busy');
  });

  test('limits what is granted for one owner, and for no other', async () => {
    const { body } = await untilLimited(OWNER, (n) => exchange({ branch: `branch-${n}` }));
    assert.equal(body.message, 'too many exchanges for the owner');
    assert.equal((await exchange({ branch: 'other', scope: 'mona/dotfiles' })).status, 200);
  });

  test('limits names that are made up, by who makes them up and by their owner, and nothing that is known', async () => {
    const stranger = (n) => ({ branch: `stranger-${n}`, address: `192.0.2.${100 + n}` });
    const owners = await untilLimited(IDENTITY, (n) => exchange({ ...stranger(n), branch: 'stranger', scope: `nobody-${n}/app` }));
    assert.equal(owners.body.message, "too many exchanges by the token's subject");
    const policies = await untilLimited(OWNER - 2, (n) => exchange({ ...stranger(n), scope: 'mona/dotfiles', identity: `nothing-${n}` }));
    assert.equal(policies.body.message, 'too many policy lookups for the owner');
    assert.equal((await exchange({ branch: 'known', scope: 'mona/dotfiles' })).status, 200);
  });

  test('limits what an address can find out, and nothing that is granted', async () => {
    const guess = (address, n) => exchange({ branch: 'guess', identity: `guess-${n}`, token: `${n}.b.c`, address });
    const { body, headers } = await untilLimited(FAILURES, (n) => guess('198.51.100.1', n));
    assert.equal(body.message, 'too many refused requests from this address');
    assert.equal(headers.get('www-authenticate'), null);
    const granted = await exchange({ branch: 'honest', scope: 'mona/dotfiles', address: '198.51.100.1' });
    assert.equal(granted.status, 200, JSON.stringify(granted.body));
    assert.equal((await guess('198.51.100.2', 1)).status, 401);
  });

  test('counts an IPv6 network as one address', async () => {
    const guess = (n) => exchange({ branch: 'guess', token: `${n}.b.c`, address: `2001:db8:1:2::${n.toString(16)}` });
    await untilLimited(FAILURES, guess);
  });

  test('limits refused revocations, and never one that ends a token', async () => {
    const revoke = async (token) =>
      answerOf(
        await world.worker.request('/sts/revoke', {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'cf-connecting-ip': '203.0.113.1' },
        }),
      );
    await untilLimited(FAILURES, () => revoke('ghp_another_credential'));
    const { body } = await exchange({ branch: 'short', scope: 'mona/dotfiles' });
    assert.equal((await revoke(body.token)).status, 204);
  });
});

describe('a service with one limit', () => {
  let world;
  before(async () => {
    world = await World.start({ limits: { RATE_LIMIT_IDENTITY: 1000 } });
  });
  after(() => world?.stop());

  test('has no other', async () => {
    const ready = await world.worker.request('/readyz');
    assert.equal(ready.headers.get('x-octo-sts-limits'), 'RATE_LIMIT_IDENTITY');
    for (let n = 0; n < 50; n += 1) {
      assert.equal((await world.exchange({ token: 'a.b.c' })).status, 401);
    }
  });
});

describe('a service without limits', () => {
  let world;
  before(async () => {
    world = await World.start();
  });
  after(() => world?.stop());

  test('refuses as often as it is asked, and says nothing of limits', async () => {
    assert.equal((await world.worker.request('/readyz')).headers.get('x-octo-sts-limits'), null);
    for (let n = 0; n < 50; n += 1) {
      assert.equal((await world.exchange({ token: 'a.b.c' })).status, 401);
    }
    await world.settled();
    assert.equal(world.worker.lines().length, 50, 'the events and no line more');
  });
});

describe('a service with something else under the name of a limit', () => {
  let world;
  before(async () => {
    world = await World.start({ vars: { RATE_LIMIT_OWNER: '100' } });
  });
  after(() => world?.stop());

  test('exchanges nothing and says so', async () => {
    const ready = await answerOf(await world.worker.request('/readyz'));
    assert.equal(ready.status, 503);
    assert.deepEqual(ready.body, { status: 'unready', missing: [], malformed: ['RATE_LIMIT_OWNER'] });
    const { status, body } = await world.exchange();
    assert.equal(status, 500);
    assert.equal(body.error, 'misconfigured');
  });
});
