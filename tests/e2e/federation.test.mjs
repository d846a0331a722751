// Upstreams without stored keys on the real runtime: every kind, against strict stand-ins that find our keys through our
// own metadata and verify our assertions with a library that nobody here wrote.

import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import Anthropic from '@anthropic-ai/sdk';

import { readBody } from './support/internet.mjs';
import { CREDENTIALS, Federated, UPSTREAM } from './support/providers/index.mjs';
import { verifyBedrockKey, verifySigned } from './support/sigv4.mjs';
import { echo, events } from './support/upstream.mjs';
import { DOMAIN } from './support/worker.mjs';

const BEDROCK = { region: 'eu-central-1', service: 'bedrock' };
const SUBJECT = 'repo:acme/app:ref:refs/heads/main';

const UPSTREAMS = {
  ...CREDENTIALS,
  bedrock: { aws: { ...CREDENTIALS.aws.aws, sign: 'bedrock-key' } },
  assertion: { assertion: { audience: 'https://api.example.com', subject: 'caller' } },
  own: { oauth: { token_url: 'https://own.example.com/token', grant: 'jwt-bearer', audience: 'https://own.example.com', identity: 'caller-token' } },
  short: { oauth: { token_url: 'https://short.example.com/token', grant: 'jwt-bearer', encoding: 'json', audience: 'https://short.example.com' } },
};

/** Lifetimes of assertions, where the provider does not take any. */
const SECONDS = { anthropic: 1800, openai: 3600, google: 3600, account: 300, azure: 300, oauth: 300, aws: 300 };

const event = (name, data) => `event: ${name}\ndata: ${JSON.stringify({ type: name, ...data })}\n\n`;
const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'example', content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 } };
const STREAM = [
  event('message_start', { message }),
  event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
  event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'hel' } }),
  event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'lo' } }),
  event('content_block_stop', { index: 0 }),
  event('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 2 } }),
  event('message_stop', {}),
];

describe('upstreams without stored keys', () => {
  let world;
  /** The last tokens that Anthropic's API saw. */
  const messages = [];

  /** Anthropic's API: a request with anything but the access token of this minute is none. */
  async function anthropicApi(incoming, outgoing) {
    const tokens = world.providers.anthropic.exchanges.map(({ granted }) => `Bearer ${granted.access_token}`);
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const { stream } = JSON.parse(Buffer.concat(chunks));
    messages.push(incoming.headers);
    if (incoming.headers.authorization !== tokens.at(-1)) return outgoing.writeHead(401).end();
    if (stream) return events(STREAM, 100)(incoming, outgoing);
    outgoing.writeHead(200, { 'content-type': 'application/json' });
    outgoing.end(JSON.stringify({ ...message, content: [{ type: 'text', text: 'hello' }], stop_reason: 'end_turn' }));
  }

  before(async () => {
    const upstreams = Object.entries(UPSTREAMS).map(([name, credential]) => [name, { credential }]);
    world = await Federated.start(Object.fromEntries(upstreams), (incoming, outgoing) =>
      (incoming.url === '/v1/messages' ? anthropicApi : echo)(incoming, outgoing));
    world.trust(...Object.keys(UPSTREAMS).map((name) => `upstream:${name}`));
    world.providers.short.life = 4;
  });
  after(async () => {
    try {
      await world?.assertNothingLeaked();
    } finally {
      await world?.stop();
    }
  });

  async function arrived(name, path, init) {
    const answer = await world.call(name, path, init);
    assert.equal(answer.status, 200, await answer.clone().text());
    return answer.json();
  }

  const sessions = () => world.providers.aws.exchanges.map(({ granted }) => granted);

  for (const name of Object.keys(CREDENTIALS)) {
    test(`${name}: the upstream gets what our assertion was traded for, which is kept`, async () => {
      const provider = world.providers[name];
      for (const path of ['/a', '/b']) {
        const got = await arrived(name, path);
        const { granted } = provider.exchanges.at(-1);
        if (name === 'aws') await verifySigned({ ...got, body: Buffer.from(got.body, 'latin1') }, [granted], BEDROCK);
        else assert.equal(got.headers.authorization, `Bearer ${granted.access_token ?? granted.accessToken}`);
      }
      const [{ claims }, ...more] = provider.exchanges.filter(({ claims: { sub } }) => sub === `upstream:${name}`);
      assert.deepEqual(more, [], 'one exchange');
      assert.equal(claims.exp - claims.iat, SECONDS[name]);
      assert.equal(claims.iat - claims.nbf, 60);
      if (name === 'aws') assert.equal(provider.exchanges[0].granted.session, 'sts-aws');
    });
  }

  test('anthropic: the list of betas that a caller sends has ours in it, once', async () => {
    const betas = async (own) => (await arrived('anthropic', '/betas', { headers: { 'anthropic-beta': own } })).headers['anthropic-beta'];
    assert.equal(await betas('files-api-2025-04-14'), 'files-api-2025-04-14,oauth-2025-04-20');
    assert.equal(await betas('oauth-2025-04-20, b'), 'oauth-2025-04-20, b');
  });

  test('aws: an answer in XML is as good', async () => {
    const { aws } = world.providers;
    aws.inXml = true;
    await world.proxied.newIsolate();
    const got = await arrived('aws', '/a');
    aws.inXml = false;
    await verifySigned({ ...got, body: Buffer.alloc(0) }, [aws.exchanges.at(-1).granted], BEDROCK);
  });

  test('a credential is refreshed in the background, and the old one serves meanwhile', async () => {
    const count = () => world.asked('short.example.com');
    const bearer = async () => (await arrived('short', '/a')).headers.authorization;
    const first = await bearer();
    await sleep(2200);
    assert.equal(await bearer(), first, 'nobody waits');
    let second = first;
    for (let tries = 0; second === first && tries < 60; tries += 1) {
      await sleep(20);
      second = await bearer();
    }
    assert.notEqual(second, first);
    assert.equal(count(), 2);
    await sleep(4100);
    assert.notEqual(await bearer(), second, 'it is over, so the request has another one made');
    assert.equal(count(), 3);
  });

  test('assertion: the upstream gets an assertion about the caller', async () => {
    const { headers } = await arrived('assertion', '/a');
    const [scheme, token] = headers.authorization.split(' ');
    assert.equal(scheme, 'Bearer');
    const claims = await world.party.verify(token);
    assert.deepEqual([claims.aud, claims.sub], ['https://api.example.com', world.principal(SUBJECT)]);
  });

  test("caller-token: the caller's own token is traded, once, if it is for the provider", async () => {
    const asked = [];
    world.internet.host('own.example.com', async (incoming, outgoing, record) => {
      record.body = await readBody(incoming);
      const { grant_type, assertion, ...more } = Object.fromEntries(new URLSearchParams(record.body));
      assert.deepEqual([grant_type, more], ['urn:ietf:params:oauth:grant-type:jwt-bearer', {}]);
      asked.push(assertion);
      outgoing.writeHead(200, { 'content-type': 'application/json' });
      outgoing.end(JSON.stringify({ access_token: `own-${asked.length}`, token_type: 'Bearer', expires_in: 3600 }));
    });
    const proxied = `https://${DOMAIN}/proxy/own`;
    const send = (token) => fetch(`${world.proxied.url}/proxy/own/a`, { headers: { authorization: `Bearer ${token}` } });
    for (const [index, times] of [[1, 2], [2, 1]]) {
      const token = await world.proxied.token('own', { aud: [proxied, 'https://own.example.com'] });
      world.handedOn.set(token, new Set(['own.example.com']));
      for (let time = 0; time < times; time += 1) {
        const answer = await send(token);
        assert.equal((await answer.json()).headers.authorization, `Bearer own-${index}`);
      }
      assert.deepEqual(asked.slice(index - 1), [token], 'for this token and no other');
    }
    for (const aud of [proxied, [proxied, 'https://own.example.com/']]) {
      const answer = await send(await world.proxied.token('own', { aud }));
      assert.equal(answer.status, 401);
      assert.equal((await answer.json()).message, 'this upstream takes a token with the audience `https://own.example.com`');
    }
    assert.equal(asked.length, 2);
  });

  test('bedrock-key: a bearer token that Bedrock takes, and a body that streams', async () => {
    const { headers, body } = await arrived('bedrock', '/model/a/invoke', { method: 'POST', body: 'x'.repeat(100_000) });
    assert.ok((await verifyBedrockKey(headers.authorization, sessions(), BEDROCK.region)) > 3500);
    const others = sessions().map((session) => ({ ...session, SecretAccessKey: 'other' }));
    await assert.rejects(verifyBedrockKey(headers.authorization, others, BEDROCK.region), /X-Amz-Signature/);
    assert.equal(body.length, 100_000);
  });

  for (const [what, path, init] of [
    ['a body', '/model/anthropic.claude-v2%3A1/invoke?a=b+c&A=%2f&empty=', { method: 'POST', body: JSON.stringify({ a: 'b'.repeat(1_000_000) }), headers: { 'content-type': 'application/json', 'x-amz-bedrock-trace': '  ENABLED ', 'x-amz-date': '20200101T000000Z', 'x-amz-security-token': 'other' } }],
    ['bytes', '/a', { method: 'PUT', body: Buffer.from(Array.from({ length: 256 }, (_, index) => index)) }],
    ['a chunked body', '/a/b%20c/', { method: 'POST', duplex: 'half', body: new ReadableStream({ start(c) { for (let i = 0; i < 50; i += 1) c.enqueue(Buffer.alloc(50_000, `${i}`)); c.close(); } }) }],
    ['no body', "/a?q='", {}],
    ['an empty body', '/a', { method: 'POST', body: '' }],
  ]) {
    test(`aws: ${what} arrives as it was, and signed`, async () => {
      const got = await arrived('aws', path, init);
      assert.equal(got.url, path.replace("'", '%27'));
      const arrivedAs = (changes) => verifySigned({ ...got, body: Buffer.from(got.body, 'latin1'), ...changes }, sessions(), BEDROCK);
      const names = await arrivedAs({});
      for (const changes of [{ body: Buffer.from('other') }, { method: 'PATCH' }, { url: `${got.url}x` }, { headers: { ...got.headers, host: 'other.example.com' } }]) {
        await assert.rejects(arrivedAs(changes), /SignatureDoesNotMatch/);
      }
      const own = ['host', 'x-amz-content-sha256', 'x-amz-date', 'x-amz-security-token'];
      const sent = Object.keys(init.headers ?? {}).filter((name) => name === 'x-amz-bedrock-trace');
      const type = 'content-type' in got.headers ? ['content-type'] : [];
      assert.deepEqual(names, [...type, ...own, ...sent].sort(), 'nothing that a proxy may change');
      if (typeof init.body === 'string') assert.equal(got.body, init.body);
    });
  }

  test('aws: a body above the cap is refused, declared or not', async () => {
    const chunked = { method: 'POST', duplex: 'half', body: new ReadableStream({ start(c) { for (let i = 0; i < 26; i += 1) c.enqueue(Buffer.alloc(1_000_000)); c.close(); } }) };
    for (const init of [{ method: 'POST', body: Buffer.alloc(25_000_001) }, chunked]) {
      const answer = await world.call('aws', '/a', init).catch((error) => error);
      // The answer arrives while the body is still being sent, and the client may be cut off.
      if (answer instanceof Error) continue;
      assert.equal(answer.status, 413);
      assert.equal((await answer.json()).error, 'payload_too_large');
    }
    const { body } = await arrived('aws', '/a', { method: 'POST', body: Buffer.alloc(25_000_000, 'x') });
    assert.equal(body.length, 25_000_000);
  });

  test('aws: bodies that are not there yet take room, and give it back', async () => {
    let resolve;
    const refused = new Promise((done) => { resolve = done; });
    const waiting = await Promise.all([1, 2, 3].map(async () => {
      const authorization = `Bearer ${await world.proxied.token('aws')}`;
      const request = httpRequest(`${world.proxied.url}/proxy/aws/a`, { method: 'POST', headers: { authorization, 'content-length': 20_000_000 } });
      request.on('error', () => {});
      request.on('response', resolve);
      request.write('x');
      return request;
    }));
    // There is room for two, but not for a third.
    const { statusCode, headers } = await refused;
    assert.equal(statusCode, 503);
    assert.equal(headers['retry-after'], '1');
    for (const request of waiting) request.destroy();
    for (let tries = 0; tries < 50; tries += 1) {
      const answer = await world.call('aws', '/a', { method: 'POST', body: Buffer.alloc(25_000_000) }).catch(() => undefined);
      if (answer?.status === 200) return;
      await sleep(100);
    }
    assert.fail('the room was not given back');
  });

  test('aws: two bodies at the cap have room at once, declared or not', async () => {
    const half = Buffer.alloc(12_500_000, 'x');
    for (const length of [{ 'content-length': 25_000_000 }, { 'transfer-encoding': 'chunked' }]) {
      const requests = await Promise.all([1, 2].map(async () => {
        const authorization = `Bearer ${await world.proxied.token('aws')}`;
        const request = httpRequest(`${world.proxied.url}/proxy/aws/a`, { method: 'POST', headers: { authorization, ...length } });
        const answer = new Promise((resolve, reject) => request.on('response', resolve).on('error', reject));
        await new Promise((resolve) => request.write(half, resolve));
        return { request, answer };
      }));
      // Neither ends before both are there.
      await Promise.all(requests.map(({ request }) => new Promise((resolve) => request.write(half, resolve))));
      for (const { request } of requests) request.end();
      for (const { answer } of requests) {
        const got = await answer;
        got.resume();
        assert.equal(got.statusCode, 200, JSON.stringify(length));
      }
    }
  });

  test("anthropic: the provider's own client works as it is, plain and streaming", async () => {
    const request = { model: 'example', max_tokens: 16, messages: [{ role: 'user', content: 'hi' }] };
    const token = await world.proxied.token('anthropic');
    const baseURL = `${world.proxied.url}/proxy/anthropic`;
    for (const how of [{ apiKey: token }, { authToken: token, apiKey: null }]) {
      const client = new Anthropic({ ...how, baseURL, maxRetries: 0 });
      const whole = await client.messages.create(request);
      assert.equal(whole.content[0].text, 'hello');
      const times = [];
      const stream = client.messages.stream(request).on('text', () => times.push(performance.now()));
      assert.equal((await stream.finalMessage()).content[0].text, 'hello');
      assert.ok(times[1] - times[0] > 50, 'a delta arrives before the next is written');
      for (const headers of messages.splice(0)) {
        assert.equal(headers['x-api-key'], undefined);
        assert.equal(headers['anthropic-beta'], 'oauth-2025-04-20');
        assert.match(headers['anthropic-version'], /^\d{4}-/);
        assert.equal(headers.host, UPSTREAM);
      }
    }
  });
});
