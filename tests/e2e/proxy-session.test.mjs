// A session from its beginning to its end: made of a job's token at the token endpoint, used at the proxy in place of that
// token, counted with it, revoked with it, and over at its own time.

import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { decodeJwt, decodeProtectedHeader, SignJWT } from 'jose';

import { CANARY, Proxied } from './support/proxied.mjs';
import { upstream } from './support/upstream.mjs';
import { DOMAIN } from './support/worker.mjs';

const KEY = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });

describe('a session', () => {
  let world, api;

  before(async () => {
    api = await upstream({});
    world = await Proxied.start(
      { api: { url: api.url, max_requests: 20 }, other: { url: api.url }, short: { url: api.url, max_session_seconds: 60 } },
      { vars: { ISSUER_PRIVATE_KEY: KEY } },
    );
  });
  after(async () => {
    await world?.stop();
    await api?.close();
  });

  const resource = (name) => `https://${DOMAIN}/proxy/${name}`;

  function exchange(subjectToken, name = 'api') {
    return fetch(`${world.url}/sts/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
        subject_token: subjectToken,
        resource: resource(name),
      }),
    });
  }

  async function session(subjectToken, name = 'api') {
    const answer = await exchange(subjectToken, name);
    const { access_token: token, ...rest } = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(rest));
    world.tokens.push(token);
    return token;
  }

  const call = (token, name = 'api') => fetch(`${world.url}/proxy/${name}/v1/a`, { headers: { 'x-api-key': token } });
  const revoke = (token) => fetch(`${world.url}/sts/revoke`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });

  /** The error and its text, of a call that must be refused. */
  async function refused(token, status, name = 'api') {
    const arrived = api.seen.length;
    const answer = await call(token, name);
    assert.equal(answer.status, status);
    assert.equal(api.seen.length, arrived, 'nothing reaches the upstream');
    return (await answer.json()).message;
  }

  test('is used in place of its token, and counts in the same budget', async () => {
    const job = await world.token('api', { run_id: 'counts' });
    const [first, second] = [await session(job), await session(job)];
    const left = [];
    for (const token of [job, first, second, job]) {
      const answer = await call(token);
      const seen = await answer.json();
      assert.equal(seen.headers.authorization, `Bearer ${CANARY}`);
      assert.equal(seen.headers['x-api-key'], undefined);
      left.push(answer.headers.get('x-octo-sts-remaining'));
    }
    assert.deepEqual(left, ['19', '18', '17', '16'], 'exchanging again buys nothing');
    const began = await world.event(({ event }) => event === 'session');
    const used = await world.event(({ event, session_sha256 }) => event === 'proxy' && session_sha256 === began.token_sha256);
    assert.equal(used.session, true);
    assert.equal(used.subject, 'repo:acme/app:ref:refs/heads/main');
    assert.equal(used.issuer, world.iss);
  });

  test('is good for its upstream and nothing else', async () => {
    const token = await session(await world.token('api', { run_id: 'else' }));
    assert.match(await refused(token, 401, 'other'), /./);
    const exchanged = await fetch(`${world.url}/sts/exchange?scope=acme/app&identity=deploy`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
    assert.notEqual(exchanged.status, 200);
    const again = await exchange(token);
    assert.ok(again.status === 400 || again.status === 401, `${again.status}`);
  });

  test('ends at its own time', async () => {
    const token = await session(await world.token('short', { run_id: 'ends' }), 'short');
    const { exp, iat, ...claims } = decodeJwt(token);
    assert.equal(exp - iat, 60);
    // The same session as it would be a minute later, signed with the key of the service.
    const now = Math.floor(Date.now() / 1000);
    const sign = (end) => new SignJWT({ ...claims, iat: end - 60, nbf: end - 60, exp: end }).setProtectedHeader(decodeProtectedHeader(token)).sign(createPrivateKey(KEY));
    const ending = await sign(now + 3);
    const answer = await call(ending, 'short');
    assert.equal(answer.status, 200, await answer.text());
    await sleep((now + 3) * 1000 - Date.now() + 50);
    assert.match(await refused(ending, 401, 'short'), /expired/);
    // One that says that it lives longer than sessions of this upstream may is over when it should be.
    const long = await new SignJWT({ ...claims, iat: now - 61, nbf: now - 61, exp: now + 600 }).setProtectedHeader(decodeProtectedHeader(token)).sign(createPrivateKey(KEY));
    await refused(long, 401, 'short');
  });

  test('is revoked with its token, for good: a new isolate and a new object know it', async () => {
    const job = await world.token('api', { run_id: 'revoked' });
    const sibling = await world.token('api', { run_id: 'revoked' });
    const [first, second] = [await session(job), await session(job)];
    for (const token of [first, second, job]) await (await call(token)).arrayBuffer();
    assert.equal((await revoke(first)).status, 204);
    for (const isolate of ['this isolate', 'a new isolate']) {
      for (const token of [first, second, job]) assert.equal(await refused(token, 401), 'the token is revoked', isolate);
      assert.equal((await (await exchange(job)).json()).error, 'invalid_grant', isolate);
      if (isolate === 'this isolate') await world.newIsolate();
    }
    assert.equal((await revoke(second)).status, 204, 'again is no error');
    const other = await call(sibling);
    assert.equal(other.status, 200, 'another token of the run is none of it');
    assert.equal(other.headers.get('x-octo-sts-remaining'), '16', 'the object has moved, and has counted on');
    await other.arrayBuffer();
  });

  test('and its token are in no line of the log', () => {
    const written = world.logs.map(({ message }) => message).join('\n');
    for (const token of world.tokens) assert.ok(!written.includes(token) && !written.includes(token.split('.')[2]));
    assert.ok(!written.includes(KEY.split('\n')[1]));
  });
});
