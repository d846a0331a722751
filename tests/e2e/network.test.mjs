// What a bad network does to an exchange: every fault is made by a real server, and met by the real `fetch` of the runtime.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { faults } from './support/internet.mjs';
import { DEPLOY_POLICY, GITHUB_API, policyPath, World } from './support/world.mjs';

const KEYS_HOST = 'token.actions.githubusercontent.com';
const discovery = { host: KEYS_HOST, path: '/.well-known/openid-configuration' };
const keySet = { host: KEYS_HOST, path: '/jwks' };
const mint = { host: GITHUB_API, method: 'POST', path: /access_tokens$/ };
const installation = { host: GITHUB_API, path: /\/installation$/ };
const file = { host: GITHUB_API, path: /\/contents\// };
const always = Number.POSITIVE_INFINITY;

let world;

/** An isolate and a KV that know nothing. */
async function forgetAll() {
  await world.settled();
  const kv = await world.worker.kv();
  for (const { name } of (await kv.list()).keys) await kv.delete(name);
  await world.worker.newIsolate();
  world.internet.reset();
}

before(async () => {
  world = await World.start();
  await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
});
after(() => world?.stop());

describe('an issuer that', () => {
  beforeEach(forgetAll);

  /** Breaks a request as often as it comes, and resolves to the exchange's status and how often it came. */
  async function broken(match, fault) {
    world.internet.breakNext(match, fault, always);
    const started = Date.now();
    const { status, body, headers } = await world.exchange();
    assert.ok(!(status === 503 && !headers.get('retry-after')), 'a 503 says when to come back');
    assert.deepEqual(world.internet.requestsTo({ host: GITHUB_API }), [], 'nothing was asked of GitHub');
    return { status, error: body.error, tries: world.internet.requestsTo(match).length, waited: Date.now() - started };
  }

  test('resets the connection is tried once more, then unavailable', async () => {
    const { status, tries } = await broken(discovery, faults.reset());
    assert.deepEqual([status, tries], [503, 2]);
  });

  test('resets the connection once is forgiven', async () => {
    world.internet.breakNext(discovery, faults.reset());
    assert.equal((await world.exchange()).status, 200);
  });

  test('never answers is unavailable after five seconds', async () => {
    const { status, tries, waited } = await broken(discovery, faults.hang());
    assert.deepEqual([status, tries], [503, 1]);
    assert.ok(waited >= 4900 && waited < 8000, `${waited} ms`);
  });

  test('stops in the middle of the key set is unavailable after five seconds', async () => {
    const { status, waited } = await broken(keySet, faults.stall());
    assert.equal(status, 503);
    assert.ok(waited >= 4900 && waited < 8000, `${waited} ms`);
  });

  test('cuts the key set off is unavailable', async () => {
    assert.equal((await broken(keySet, faults.cut())).status, 503);
  });

  test('answers 5xx is unavailable, and is not asked again for a minute', async () => {
    assert.equal((await broken(discovery, faults.answer({ status: 502 }))).status, 503);
    const asked = world.internet.requests.length;
    assert.equal((await world.exchange()).status, 503);
    assert.equal(world.internet.requests.length, asked);
  });

  test('answers 4xx, or redirects, has no keys', async () => {
    assert.equal((await broken(discovery, faults.answer({ status: 404 }))).status, 401);
    await forgetAll();
    assert.equal((await broken(discovery, faults.redirect('https://evil.example.org/'))).status, 401);
    await forgetAll();
    assert.equal((await broken(keySet, faults.redirect(`https://${KEYS_HOST}/other`, 308))).status, 401);
  });

  test('answers with something else than the documents has no keys', async () => {
    for (const body of ['<html>', '[]', '{}', '{"keys": 1}', '\u0000', '{"issuer": "https://other.example.com"}']) {
      assert.equal((await broken(discovery, faults.answer({ body }))).status, 401, body);
      await forgetAll();
      assert.equal((await broken(keySet, faults.answer({ body }))).status, 401, body);
      await forgetAll();
    }
  });

  test('sends more than 100 KiB has no keys, compressed or not', async () => {
    assert.equal((await broken(keySet, faults.tooLarge(101 * 1024))).status, 401);
    await forgetAll();
    const bomb = gzipSync(Buffer.alloc(50 * 1024 * 1024, ' '));
    const compressed = faults.answer({ headers: { 'content-encoding': 'gzip', 'content-type': 'application/json' }, body: bomb });
    const { status, waited } = await broken(keySet, compressed);
    assert.equal(status, 401);
    assert.ok(waited < 2000, `${waited} ms`);
  });
});

describe('GitHub that', () => {
  beforeEach(forgetAll);

  /** Breaks one kind of call once, and resolves to the exchange's status. */
  async function broken(match, fault, times = 1) {
    world.internet.breakNext(match, fault, times);
    const { status, body, headers } = await world.exchange();
    if (status === 429 || status === 503) assert.ok(Number(headers.get('retry-after')) > 0, 'it says when to come back');
    return `${status} ${body.error}`;
  }

  test('resets the connection is unavailable', async () => {
    for (const match of [installation, file, mint]) {
      assert.equal(await broken(match, faults.reset(), always), '503 unavailable', String(match.path));
      await forgetAll();
    }
  });

  test('never answers the mint is unavailable after ten seconds', async () => {
    await world.exchanged();
    const started = Date.now();
    assert.equal(await broken(mint, faults.hang()), '503 unavailable');
    const waited = Date.now() - started;
    assert.ok(waited >= 9900 && waited < 13_000, `${waited} ms`);
  });

  test('is limiting the rate is told as that, with its own Retry-After', async () => {
    const primary = { status: 403, headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(Math.ceil(Date.now() / 1000) + 60) } };
    const secondary = { status: 403, headers: { 'retry-after': '30' } };
    for (const match of [installation, mint]) {
      for (const limit of [primary, secondary, { ...secondary, status: 429 }]) {
        assert.equal(await broken(match, faults.answer({ body: { message: 'limit' }, ...limit })), '429 rate_limited');
        await forgetAll();
      }
    }
  });

  test('redirects is not followed: a renamed repository must not lead to another owner', async () => {
    const elsewhere = faults.redirect(`https://${GITHUB_API}/repositories/1/installation`, 301);
    assert.equal(await broken(installation, elsewhere), '404 installation_not_found');
    assert.equal(world.internet.requestsTo({ path: '/repositories/1/installation' }).length, 0);
  });

  test('answers the mint with what cannot be read is an upstream error', async () => {
    await world.exchanged();
    for (const body of ['', 'null', '{"token": 1}', '<html>', '{"token": "ghs_x"']) {
      assert.equal(await broken(mint, faults.answer({ status: 201, body })), '502 upstream_error', body);
    }
    assert.equal(await broken(mint, faults.tooLarge(8 * 1024 * 1024, { status: 201 })), '502 upstream_error');
  });

  test('mints a wider token than asked is an upstream error, and the token is revoked', async () => {
    await world.exchanged();
    const wide = { token: 'ghs_much_too_wide', expires_at: new Date(Date.now() + 3_600_000).toISOString() };
    const app = [{ id: 1, name: 'app', full_name: 'acme/app' }];
    const answers = [
      { permissions: { contents: 'write', issues: 'write' }, repository_selection: 'selected', repositories: app },
      { permissions: { contents: 'read', issues: 'write', actions: 'read' }, repository_selection: 'selected', repositories: app },
      { permissions: { contents: 'read', issues: 'write' }, repository_selection: 'all' },
      {
        permissions: { contents: 'read', issues: 'write' },
        repository_selection: 'selected',
        repositories: [...app, { id: 2, name: 'docs', full_name: 'acme/docs' }],
      },
    ];
    for (const answer of answers) {
      world.internet.reset();
      assert.equal(await broken(mint, faults.answer({ status: 201, body: { ...wide, ...answer } })), '502 upstream_error');
      await world.until(() => revocationsOf(wide.token) === 1, 'the wide token to be revoked');
    }
  });

  const revocationsOf = (token) =>
    world.internet
      .requestsTo({ method: 'DELETE', path: '/installation/token' })
      .filter(({ headers }) => headers.authorization === `Bearer ${token}`).length;

  test('has suspended the installation refuses', async () => {
    world.github.suspend(1001);
    assert.equal(await broken({ path: 'never' }, faults.reset()), '403 permission_denied');
    world.github.resume(1001);
  });
});
