// What a bad network does to an exchange: a real server causes every fault, and the runtime's real `fetch` meets it.

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
const deletion = { host: GITHUB_API, method: 'DELETE', path: '/installation/token' };
const file = { host: GITHUB_API, path: /\/contents\// };
const always = Number.POSITIVE_INFINITY;

let world;

/** An isolate and a KV that are empty. */
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

  test('cuts the key set off, or encodes it wrongly, is unavailable', async () => {
    for (const fault of [faults.cut(), faults.wrongEncoding()]) {
      const { status, tries } = await broken(keySet, fault);
      assert.deepEqual([status, tries], [503, 2]);
      await forgetAll();
    }
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

  test('breaks a body off, never ends it, or encodes it wrongly, has not answered', async () => {
    const bad = { cut: faults.cut, 'wrong encoding': faults.wrongEncoding, endless: faults.endless };
    /** These failures are not cached, so the next exchange meets the same call. */
    const each = async (match, status, expected) => {
      for (const [name, fault] of Object.entries(bad)) {
        if (expected[name]) assert.equal(await broken(match, fault({ status })), expected[name], `${match.path} ${name}`);
      }
    };
    const unavailable = '503 unavailable';
    await each(installation, 200, { cut: unavailable, 'wrong encoding': unavailable, endless: unavailable });
    // The list of issuers is read first; from here on it is known.
    assert.equal((await world.exchange({ identity: 'other' })).status, 404);
    await each(file, 200, { cut: unavailable, 'wrong encoding': unavailable });
    const notReadable = '502 upstream_error';
    await world.exchanged();
    await each(mint, 201, { cut: notReadable, 'wrong encoding': notReadable, endless: notReadable });
    // A file that is too large is not a policy, and that is cached.
    world.internet.breakNext(file, faults.endless());
    assert.equal((await world.exchange({ identity: 'large' })).status, 404);
  });

  test('breaks the answer to a revocation has not revoked', async () => {
    for (const fault of [faults.reset(), faults.cut(), faults.wrongEncoding(), faults.endless()]) {
      const { token } = await world.exchanged();
      world.internet.breakNext(deletion, fault);
      const { status, headers } = await world.revoke(token);
      assert.equal(status, 503);
      assert.ok(Number(headers.get('retry-after')) > 0);
      assert.equal((await world.revoke(token)).status, 204);
    }
  });

  test('breaks the answer to a delivery is told so, and delivering again completes it', async () => {
    const lookUp = { host: GITHUB_API, path: /\/check-runs\?/ };
    const cases = [
      [lookUp, faults.reset(), 503],
      [lookUp, faults.cut(), 502],
      [lookUp, faults.wrongEncoding(), 502],
      [lookUp, faults.endless(), 502],
      [file, faults.cut(), 502],
      [mint, faults.cut({ status: 201 }), 502],
    ];
    for (const [index, [match, fault, status]] of cases.entries()) {
      const payload = await world.push({ [policyPath('deploy')]: `# ${index}\n${DEPLOY_POLICY}` });
      const id = `delivery-${index}`;
      world.internet.breakNext(match, fault);
      assert.equal((await world.deliver('push', payload, { id })).status, status, `${index}`);
      const again = await world.deliver('push', payload, { id });
      assert.deepEqual([again.status, again.body.conclusion], [200, 'success'], `${index}`);
    }
  });

  test('never answers, or drips, has not answered after ten seconds, on every route', async () => {
    await world.exchanged();
    const started = Date.now();
    const answers = [];
    const take = (answer) => answers.push(answer.then(({ status }) => ({ status, waited: Date.now() - started })));
    /** Makes the request, so that the next fault does not affect it. */
    const arrived = (match, times) => world.until(() => world.internet.requestsTo(match).length === times, String(match.path));
    world.internet.reset();

    world.internet.breakNext(mint, faults.hang());
    take(world.exchange());
    await arrived(mint, 1);

    world.internet.breakNext(file, faults.drip());
    take(world.exchange({ identity: 'other' }));
    await arrived(file, 1);

    world.internet.breakNext(deletion, faults.hang());
    take(world.revoke('ghs_0123456789abcdef'));
    await arrived(deletion, 1);

    const payload = await world.push({ [policyPath('deploy')]: `# hangs\n${DEPLOY_POLICY}` });
    world.internet.breakNext({ host: GITHUB_API, path: /\/check-runs\?/ }, faults.hang());
    take(world.deliver('push', payload));

    // KV as well: twice five seconds, and the exchange continues without it.
    const blind = await World.start({ hangingKv: true });
    await blind.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
    const asked = Date.now();
    const withoutKv = await blind.exchange();
    const waitedForKv = Date.now() - asked;

    for (const { status, waited } of await Promise.all(answers)) {
      assert.equal(status, 503);
      assert.ok(waited >= 9900 && waited < 15_000, `${waited} ms`);
    }
    assert.equal(withoutKv.status, 200);
    assert.ok(waitedForKv >= 9900 && waitedForKv < 15_000, `${waitedForKv} ms`);
    assert.ok(blind.worker.lines().some(({ message, error }) => message === 'kv read failed' && error === 'no answer in time'));
    await blind.stop();
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
