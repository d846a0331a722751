// Canaries: two upstreams with a key each, callers who put tokens where they do not belong, refusals at every step and faults
// behind. Afterwards every place that anything was written to, sent to or stored in is searched.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Proxied } from './support/proxied.mjs';
import { echo, rawUpstream, upstream } from './support/upstream.mjs';
import { DOMAIN } from './support/worker.mjs';

const KEYS = { FIRST_KEY: 'canary-first-0123456789abcdef', SECOND_KEY: 'canary-second-0123456789abcdef' };
const PEM = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });

describe('a secret', () => {
  let world, first, second, broken, ingress;
  const stored = mkdtempSync(join(tmpdir(), 'octo-sts-stored-'));
  /** What callers were answered: head and body. */
  const answers = [];
  const published = [];

  before(async () => {
    const redirecting = (request, response) => response.writeHead(307, { location: `${second.url}/taken` }).end();
    const twice = (request, response) => response.writeHead(401, { 'www-authenticate': `Bearer realm="${request.headers.host}"` }).end('no');
    first = await upstream({ '/redirect': redirecting, '/refused': twice, '/echo': echo });
    second = await upstream({});
    broken = await rawUpstream('HTTP/1.1 200 OK\r\ncontent-le');
    ingress = createServer(async (request, response) => {
      let text = '';
      for await (const chunk of request) text += chunk;
      published.push({ headers: JSON.stringify(request.headers), text });
      response.writeHead(202).end();
    });
    await new Promise((resolve) => ingress.listen(0, '127.0.0.1', resolve));
    const key = (name, header) => ({ secret: { name, header } });
    world = await Proxied.start(
      {
        first: { url: first.url, credential: key('FIRST_KEY', 'x-api-key'), cors: { origin: 'https://app.example.com' } },
        second: { url: second.url, credential: key('SECOND_KEY', 'authorization'), paths: ['/v1/.*'], methods: ['GET'], max_token_age_seconds: 600 },
        broken: { url: broken.url, credential: key('FIRST_KEY', 'x-api-key') },
        gone: { url: 'http://127.0.0.1:9', credential: key('SECOND_KEY', 'authorization') },
        keyless: { url: first.url, credential: key('MISSING_KEY', 'x-api-key') },
        once: { url: first.url, credential: key('FIRST_KEY', 'x-api-key'), max_requests: 1 },
      },
      { vars: { ...KEYS, ISSUER_PRIVATE_KEY: PEM, EVENT_INGRESS_URI: `http://127.0.0.1:${ingress.address().port}/`, LOG_LEVEL: 'debug' }, stored },
    );
  });
  after(async () => {
    await world?.stop();
    for (const server of [first, second, broken]) await server?.close();
    ingress?.closeAllConnections();
    ingress?.close();
    rmSync(stored, { recursive: true, force: true });
  });

  async function ask(path, init) {
    const answer = await fetch(`${world.url}${path}`, { redirect: 'manual', ...init });
    answers.push({ path, status: answer.status, text: `${JSON.stringify([...answer.headers])} ${await answer.text()}` });
    return answer.status;
  }

  test('is used in every way', async () => {
    const token = (name, claims) => world.token(name, { run_id: name, ...claims });
    const bearer = async (name, claims) => ({ authorization: `Bearer ${await token(name, claims)}` });
    const statuses = {};
    const call = async (what, path, init) => (statuses[what] = await ask(path, init));
    // The two keys, each at its own upstream.
    await call('first', '/proxy/first/v1/a', { headers: await bearer('first') });
    await call('second', '/proxy/second/v1/a', { headers: await bearer('second') });
    await call('session', '/sts/token', { method: 'POST', body: new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', subject_token_type: 'urn:ietf:params:oauth:token-type:id_token', subject_token: await token('first'), resource: `https://${DOMAIN}/proxy/first` }) });
    const session = JSON.parse(answers.at(-1).text.slice(answers.at(-1).text.indexOf('{"'))).access_token;
    answers.pop();
    world.tokens.push(session);
    await call('by session', '/proxy/first/v1/a', { headers: { 'x-api-key': session } });
    // Redirects and refusals of an upstream.
    await call('redirect', '/proxy/first/redirect', { headers: await bearer('first') });
    await call('refused', '/proxy/first/refused', { headers: await bearer('first') });
    // Tokens where they do not belong.
    const lost = await token('first');
    await call('in the query', `/proxy/second/v1/a?token=${lost}`, { headers: await bearer('second') });
    await call('in the path', `/proxy/second/v1/${lost}`, { headers: await bearer('second') });
    await call('in the name', `/proxy/${lost.slice(0, 30)}/a`);
    await call('in the agent', '/proxy/second/v1/a', { headers: { ...(await bearer('second')), 'user-agent': `agent ${lost}` } });
    await call('in the method', '/proxy/second/v1/a', { method: 'X-CANARY', headers: await bearer('second') });
    await call('in two headers', '/proxy/second/v1/a', { headers: { ...(await bearer('second')), 'x-api-key': lost } });
    await call('basic', '/proxy/second/v1/a', { headers: { authorization: `Basic ${lost}` } });
    // A refusal at each step.
    await call('step 1', '/proxy/second/v1/%2e%2e%2f/a{', { headers: await bearer('second') });
    await call('step 3', '/proxy/second/v1/a', { headers: { authorization: `Bearer ${lost}x` } });
    await call('step 5', '/proxy/second/v1/a', { headers: await bearer('second', { iss: 'http://127.0.0.1:9' }) });
    await call('step 8', '/proxy/unknown/a', { headers: await bearer('second') });
    await call('step 8, no key', '/proxy/keyless/a', { headers: await bearer('keyless') });
    await call('step 9', '/proxy/second/v1/a', { headers: await bearer('first') });
    await call('step 10', '/proxy/second/v1/a', { headers: await bearer('second', { iat: Math.floor(Date.now() / 1000) - 1000 }) });
    await call('step 11', '/proxy/second/v2/a', { headers: await bearer('second') });
    await call('step 13', '/proxy/once/a', { headers: await bearer('once') });
    await call('step 13, exhausted', '/proxy/once/a', { headers: await bearer('once') });
    await call('step 15, broken', '/proxy/broken/a', { headers: await bearer('broken') });
    await call('step 15, gone', '/proxy/gone/a', { headers: await bearer('gone') });
    await call('revoked', '/sts/revoke', { method: 'POST', headers: { authorization: `Bearer ${session}` } });
    await call('after it', '/proxy/first/v1/a', { headers: { 'x-api-key': session } });
    assert.deepEqual(statuses, {
      first: 200, second: 200, session: 200, 'by session': 200, redirect: 307, refused: 401,
      'in the query': 200, 'in the path': 200, 'in the name': 404, 'in the agent': 200, 'in the method': 501, 'in two headers': 401, basic: 401,
      'step 1': 400, 'step 3': 401, 'step 5': 503, 'step 8': 404, 'step 8, no key': 500, 'step 9': 403, 'step 10': 401, 'step 11': 403,
      'step 13': 200, 'step 13, exhausted': 403, 'step 15, broken': 503, 'step 15, gone': 503, revoked: 204, 'after it': 401,
    });
    await world.event(({ outcome, path, upstream }) => upstream === 'first' && path === '/v1/a' && outcome === 'invalid_token');
  });

  /** None of these texts holds a token, its signature, or a key. */
  function searched(where, texts, but = []) {
    const signatures = world.tokens.map((token) => token.split('.')[2]);
    const pem = PEM.split('\n').slice(1, -2);
    const secrets = [...Object.values(KEYS), ...world.tokens, ...signatures, ...pem].filter((secret) => !but.includes(secret));
    assert.ok(texts.length > 0, where);
    for (const text of texts) {
      for (const secret of secrets) assert.ok(!text.includes(secret), `${where}: ${secret.slice(0, 40)} in ${text.slice(0, 2000)}`);
    }
  }

  test('is in no line of the log and no event', async () => {
    searched('the log', world.logs.map(({ message }) => message));
    const expected = world.events().length;
    for (let tries = 0; published.length < expected && tries < 100; tries += 1) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(published.length, expected, 'each event is published once');
    searched('the ingress', published.map(({ headers, text }) => headers + text));
  });

  test('is in no answer', () => {
    // One upstream echoes what it got, the caller's own path included; what a caller sent there is no secret from the caller.
    searched('an answer of ours', answers.filter(({ status, text }) => status >= 300 || !text.includes('"raw"')).map(({ text }) => text));
  });

  test('reaches its own upstream, in its own header, and nobody else', () => {
    const arrived = { FIRST_KEY: [first, 'x-api-key'], SECOND_KEY: [second, 'authorization'] };
    for (const [name, [server, header]] of Object.entries(arrived)) {
      assert.ok(server.seen.length > 0);
      for (const { headers, url, raw } of server.seen) {
        const { [header]: credential, ...rest } = headers;
        assert.equal(credential, header === 'authorization' ? `Bearer ${KEYS[name]}` : KEYS[name], url);
        assert.equal(raw.filter((text) => text.includes(KEYS[name])).length, 1);
        // The path, and the name of the program, are what the caller says there.
        const { 'user-agent': _, ...others } = rest;
        searched(`a request to ${name}'s upstream`, [JSON.stringify(others)]);
      }
    }
    assert.ok(!second.seen.some(({ url }) => url === '/taken'), 'nobody followed the redirect');
  });

  test('is in nothing that objects store', () => {
    const files = readdirSync(stored, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    searched('storage', files.map(({ parentPath, path, name }) => readFileSync(join(parentPath ?? path, name), 'latin1')));
  });
});
