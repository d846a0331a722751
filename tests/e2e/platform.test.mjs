// What the runtime does around the core: routes that need no GitHub, settings, bodies, and requests that no client library
// would send.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { answerOf, DEPLOY_POLICY, policyPath, World } from './support/world.mjs';
import { DOMAIN } from './support/worker.mjs';

describe('the service', () => {
  let world;
  const get = async (path, init) => answerOf(await world.worker.request(path, init));
  /** Bytes on the wire, and the status that came back. */
  const status = async (head, body = '') => (await world.worker.raw(`${head}\r\nHost: ${DOMAIN}\r\n\r\n${body}`)).status;

  before(async () => {
    world = await World.start();
    await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
  });
  after(() => world?.stop());

  test('is alive and ready', async () => {
    assert.deepEqual((await get('/healthz')).body, { status: 'ok' });
    const ready = await get('/readyz');
    assert.equal(ready.status, 200);
    assert.deepEqual(ready.body, { status: 'ready', missing: [], malformed: [] });
    assert.equal((await get('/healthz/')).status, 200);
  });

  test('answers HEAD as GET without a body, but not under /sts/', async () => {
    const head = await world.worker.request('/healthz', { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(await head.text(), '');
    assert.equal((await world.worker.request('/sts/exchange', { method: 'HEAD' })).status, 405);
  });

  test('tells unknown paths from wrong methods', async () => {
    assert.equal((await get('/nowhere')).status, 404);
    assert.equal((await get('/vectors', { method: 'POST', body: '[]' })).status, 404);
    const wrong = await get('/healthz', { method: 'PUT', body: 'x' });
    assert.equal(wrong.status, 405);
    assert.match(wrong.headers.get('allow'), /GET/);
    assert.equal(await status('PROPFIND /healthz HTTP/1.1'), 405);
  });

  test('gives every answer an id of its own and forbids sniffing', async () => {
    const ids = new Set();
    for (const path of ['/', '/healthz', '/nowhere', '/sts/exchange']) {
      const { headers } = await get(path, { headers: { 'x-request-id': 'mine' } });
      assert.match(headers.get('x-request-id'), /^[0-9a-f]{8}-[0-9a-f-]{27}$/);
      assert.equal(headers.get('x-content-type-options'), 'nosniff');
      assert.match(headers.get('content-type'), /^application\/json/);
      ids.add(headers.get('x-request-id'));
    }
    assert.equal(ids.size, 4);
  });

  test('survives targets and methods that no client library sends', async () => {
    const targets = ['/%00', '/%ff', '/|', '/`', '/^', '/{}', '/"', '/<>', '/%2e%2e/', '//', '/?', '/??', '/sts/exchange?%', '/\u00e9'];
    for (const target of targets) {
      const answered = await status(`GET ${target} HTTP/1.1`);
      assert.ok(answered >= 200 && answered < 500, `${target} was answered with ${answered}`);
    }
    assert.equal((await get('/healthz')).status, 200);
  });

  test('refuses a second Authorization header', async () => {
    const head = (lines) => `POST /sts/exchange?scope=acme/app&identity=deploy HTTP/1.1\r\n${lines.join('\r\n')}`;
    const token = await world.jobToken();
    const authorization = `Authorization: Bearer ${token}`;
    assert.equal(await status(head(['Content-Length: 0', authorization])), 200);
    assert.equal(await status(head(['Content-Length: 0', authorization, authorization])), 401);
    assert.equal(await status(head(['Content-Length: 0', 'Authorization: Basic eDp5', authorization])), 401);
  });

  test('reads no more of a body than its route takes', async () => {
    const post = (body, headers) => get('/sts/exchange', { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });
    assert.equal((await post('x'.repeat(64 * 1024 + 1))).status, 413);
    assert.equal((await post('x'.repeat(64 * 1024))).status, 400);
    // 20 MiB are promised and 100 KiB sent: the answer does not wait for the rest.
    const head = 'POST /sts/exchange HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 20971520';
    assert.equal(await status(head, ' '.repeat(100 * 1024)), 413);
    const chunk = `19000\r\n${' '.repeat(0x19000)}\r\n`;
    assert.equal(await status('POST /sts/exchange HTTP/1.1\r\nTransfer-Encoding: chunked', chunk), 413);
    // A route without a body reads none of it.
    assert.equal(await status('GET /healthz HTTP/1.1\r\nContent-Length: 20971520', ' '), 200);
  });

  test('takes the parameters from a JSON body', async () => {
    const exchange = async (body) =>
      get('/sts/exchange', {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json', authorization: `Bearer ${await world.jobToken()}` },
      });
    assert.equal((await exchange({ scope: 'acme/app', identity: 'deploy' })).status, 200);
    assert.equal((await exchange({ scopes: ['acme/app'], identity: 'deploy' })).status, 200);
    assert.equal((await exchange({ scopes: ['acme/app', 'acme/docs'], identity: 'deploy' })).status, 400);
  });
});

describe('a service without its settings', () => {
  let world;
  before(async () => {
    world = await World.start({
      vars: { GITHUB_APP_PRIVATE_KEY: 'not a key', DOMAIN: '', ALLOWED_ISSUERS: ['https://a.example.com'], LOG_LEVEL: 'loud' },
      withoutKv: true,
    });
  });
  after(() => world?.stop());

  test('is alive, says what is wrong by name, and exchanges nothing', async () => {
    assert.equal((await world.worker.request('/healthz')).status, 200);
    const ready = await answerOf(await world.worker.request('/readyz'));
    assert.equal(ready.status, 503);
    assert.deepEqual(ready.body.missing.toSorted(), ['DOMAIN', 'OCTO_STS_KV']);
    assert.deepEqual(ready.body.malformed.toSorted(), ['ALLOWED_ISSUERS', 'GITHUB_APP_PRIVATE_KEY', 'LOG_LEVEL']);
    const exchange = await world.exchange();
    assert.equal(exchange.status, 500);
    assert.equal(exchange.body.error, 'misconfigured');
    assert.ok(!JSON.stringify(exchange.body).includes('not a key'));
  });
});

test('bodies that JavaScript in between made are read too, to their cap', async () => {
  // Not a stream of bytes, so it has none of the runtime's readers but the plain one.
  const standIn = `
    const upstream = globalThis.fetch;
    globalThis.fetch = async (...request) => {
      const answer = await upstream(...request);
      if (answer.body === null) return answer;
      const bytes = new Uint8Array(await answer.arrayBuffer());
      const chunks = [bytes.slice(0, 100), bytes.slice(100)];
      const body = new ReadableStream({
        pull: (controller) => (chunks.length > 0 ? controller.enqueue(chunks.shift()) : controller.close()),
      });
      return new Response(body, answer);
    };`;
  const world = await World.start({ standIn });
  try {
    await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
    await world.exchanged({ token: await world.jobToken() });
    await world.worker.newIsolate();
    await world.github.commit('acme/app', policyPath('large'), `${DEPLOY_POLICY}# ${'x'.repeat(200_000)}`);
    const large = await world.exchange({ identity: 'large', token: await world.jobToken() });
    assert.deepEqual([large.status, large.body.error], [404, 'policy_not_found']);
  } finally {
    await world.stop();
  }
});
