// Upstreams without stored keys on the real runtime: every kind, against strict stand-ins that verify our assertions
// with our published keys and a library that is not ours.

import assert from 'node:assert/strict';
import { createHash, createHmac, generateKeyPairSync } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import Anthropic from '@anthropic-ai/sdk';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { Response, fetch as outboundFetch } from 'miniflare';

import { Proxied } from './support/proxied.mjs';
import { echo, upstream } from './support/upstream.mjs';
import { DOMAIN } from './support/worker.mjs';

const PRIVATE_KEY = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
const GOOGLE = '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/sts';
const SECRET_ACCESS_KEY = 'canary-of-a-secret-access-key';
const TOKENS = { anthropic: 'sk-ant-oat01-canary', openai: 'openai-canary', google: 'ya29.canary', account: 'ya29.c.canary', azure: 'eyJ0.azure.canary', oauth: 'oauth-canary' };
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

const CREDENTIALS = {
  anthropic: { anthropic: { federation_rule_id: 'fdrl_1', organization_id: 'org', service_account_id: 'svac_1' } },
  openai: { openai: { identity_provider_id: 'idp_1', service_account_id: 'sa_1', audience: 'https://openai.example.com' } },
  google: { google: { audience: GOOGLE } },
  account: { google: { audience: GOOGLE, service_account: 'sts@acme.iam.gserviceaccount.com' } },
  azure: { azure: { tenant_id: 'acme.example.com', client_id: 'c', scope: 'https://api.example.com/.default' } },
  oauth: { oauth: { token_url: 'https://auth.example.com/token', grant: 'token-exchange', audience: 'https://auth.example.com' } },
  bedrock: { aws: { role_arn: 'arn:aws:iam::123456789012:role/sts', region: 'eu-central-1', service: 'bedrock', sign: 'bedrock-key' } },
  aws: { aws: { role_arn: 'arn:aws:iam::123456789012:role/sts', region: 'eu-central-1', service: 'bedrock' } },
  assertion: { assertion: { audience: 'https://api.example.com', subject: 'caller' } },
  refused: { oauth: { token_url: 'https://auth.example.com/token', grant: 'jwt-bearer', audience: 'https://auth.example.com' } },
  short: { oauth: { token_url: 'https://short.example.com/token', grant: 'jwt-bearer', encoding: 'json', audience: 'https://short.example.com' } },
};

/** What a provider requires of a request, and what it grants. */
const PROVIDERS = {
  'api.anthropic.com': { audience: 'https://api.anthropic.com', seconds: 1800, members: { grant_type: JWT_BEARER, federation_rule_id: 'fdrl_1', organization_id: 'org', service_account_id: 'svac_1' }, assertion: 'assertion', token: TOKENS.anthropic },
  'auth.openai.com': { audience: 'https://openai.example.com', seconds: 3600, members: { grant_type: TOKEN_EXCHANGE, identity_provider_id: 'idp_1', service_account_id: 'sa_1' }, assertion: 'subject_token', token: TOKENS.openai },
  'sts.googleapis.com': { audience: `https:${GOOGLE}`, members: { grant_type: TOKEN_EXCHANGE, audience: GOOGLE }, assertion: 'subject_token', token: TOKENS.google },
  'login.microsoftonline.com': { audience: 'api://AzureADTokenExchange', seconds: 300, members: { grant_type: 'client_credentials', client_id: 'c' }, assertion: 'client_assertion', token: TOKENS.azure },
  'auth.example.com': { audience: 'https://auth.example.com', seconds: 300, members: { grant_type: TOKEN_EXCHANGE }, assertion: 'subject_token', token: TOKENS.oauth },
  'short.example.com': { audience: 'https://short.example.com', seconds: 300, members: { grant_type: JWT_BEARER }, assertion: 'assertion', token: 'short-canary', life: 4 },
  'sts.eu-central-1.amazonaws.com': { audience: 'sts.amazonaws.com', seconds: 300, members: { Action: 'AssumeRoleWithWebIdentity', Version: '2011-06-15' }, assertion: 'WebIdentityToken' },
};

describe('upstreams without stored keys', () => {
  let world, api, keys;
  const exchanges = [];
  const seen = new Set();

  /** The providers' internet; addresses on loopback go there. */
  async function outbound(request) {
    const { host } = new URL(request.url);
    if (host.startsWith('127.0.0.1')) return outboundFetch(request, { redirect: 'manual' });
    if (host === 'iamcredentials.googleapis.com') {
      assert.equal(request.headers.get('authorization'), `Bearer ${TOKENS.google}`);
      return Response.json({ accessToken: TOKENS.account, expireTime: new Date(Date.now() + 3600_000).toISOString() });
    }
    const provider = PROVIDERS[host];
    if (!provider) return new Response('who?', { status: 404 });
    try {
      return await exchange(provider, request);
    } catch (error) {
      return Response.json({ error: 'invalid_grant', error_description: String(error) }, { status: 400 });
    }
  }

  async function exchange({ audience, seconds, members, assertion, token, life = 3600 }, request) {
    assert.equal(request.method, 'POST');
    const text = await request.text();
    const isJson = request.headers.get('content-type') === 'application/json';
    const sent = isJson ? JSON.parse(text) : Object.fromEntries(new URLSearchParams(text));
    for (const [name, value] of Object.entries(members)) assert.equal(sent[name], value, name);
    keys ??= createLocalJWKSet(await (await fetch(`${world.url}/.well-known/jwks.json`)).json());
    const { payload } = await jwtVerify(sent[assertion], keys, {
      issuer: `https://${DOMAIN}`, audience, algorithms: ['RS256'], typ: 'JWT', requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat', 'nbf', 'jti'],
    });
    if (seconds) assert.equal(payload.exp - payload.iat, seconds);
    assert.ok(!seen.has(payload.jti), 'an assertion is for one exchange');
    seen.add(payload.jti);
    exchanges.push({ host: new URL(request.url).host, subject: payload.sub, assertion: sent[assertion] });
    const unique = life === 3600 ? token : `${token}-${seen.size}`;
    if (token) return Response.json({ access_token: unique, token_type: 'Bearer', expires_in: life });
    const credentials = { AccessKeyId: 'ASIAEXAMPLE', SecretAccessKey: SECRET_ACCESS_KEY, SessionToken: 'session/canary+==', Expiration: Date.now() / 1000 + 3600 };
    return Response.json({ AssumeRoleWithWebIdentityResponse: { AssumeRoleWithWebIdentityResult: { Credentials: credentials } } });
  }

  before(async () => {
    api = await upstream({
      '/v1/messages': async (request, response) => {
        const { authorization } = request.headers;
        response.writeHead(authorization === `Bearer ${TOKENS.anthropic}` ? 200 : 401, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ id: 'msg_1', type: 'message', role: 'assistant', model: 'm', content: [{ type: 'text', text: 'hello' }], stop_reason: 'end_turn', usage: { input_tokens: 1, output_tokens: 1 } }));
      },
      '/': echo,
    });
    const upstreams = Object.entries(CREDENTIALS).map(([name, credential]) => [name, { url: api.url, credential }]);
    world = await Proxied.start(Object.fromEntries(upstreams), { vars: { ISSUER_PRIVATE_KEY: PRIVATE_KEY }, outbound });
  });
  after(async () => {
    await world?.stop();
    await api?.close();
  });

  async function arrived(name, path, init) {
    const answer = await world.call(name, path, init);
    assert.equal(answer.status, 200, await answer.clone().text());
    return answer.json();
  }

  for (const name of Object.keys(TOKENS)) {
    test(`${name}: the upstream gets what our assertion was traded for, which is kept`, async () => {
      const before = exchanges.length;
      for (const path of ['/a', '/b']) {
        assert.equal((await arrived(name, path)).headers.authorization, `Bearer ${TOKENS[name]}`);
      }
      assert.deepEqual(exchanges.slice(before).map(({ subject }) => subject), [`upstream:${name}`]);
    });
  }

  test('a credential is refreshed in the background, and the old one serves meanwhile', async () => {
    const count = () => exchanges.filter(({ host }) => host === 'short.example.com').length;
    const bearer = async () => (await arrived('short', '/a')).headers.authorization;
    const first = await bearer();
    await sleep(2200);
    assert.equal(await bearer(), first, 'nobody waits');
    for (let tries = 0; count() < 2 && tries < 50; tries += 1) await sleep(20);
    assert.equal(count(), 2);
    const second = await bearer();
    assert.notEqual(second, first);
    await sleep(4100);
    assert.notEqual(await bearer(), second, 'it is over, so the request has another one made');
    assert.equal(count(), 3);
  });

  test('a provider that refuses is 503, and the log says with what code', async () => {
    const answer = await world.call('refused', '/a');
    assert.equal(answer.status, 503);
    assert.equal((await answer.json()).message, "the upstream's credential is not available");
    assert.ok(answer.headers.get('retry-after'));
    const line = world.lines().find(({ message }) => message === 'upstream credential not granted');
    assert.equal(line.code, 'invalid_grant');
    assert.deepEqual([line.upstream, line.kind, line.status, line.sub], ['refused', 'oauth', '400', 'upstream:refused']);
  });

  test('assertion: the upstream gets an assertion about the caller', async () => {
    const { headers } = await arrived('assertion', '/a');
    const [scheme, token] = headers.authorization.split(' ');
    assert.equal(scheme, 'Bearer');
    const { payload } = await jwtVerify(token, keys, { issuer: `https://${DOMAIN}`, audience: 'https://api.example.com' });
    assert.equal(payload.sub, `${world.iss}|repo:acme/app:ref:refs/heads/main`);
  });

  test('bedrock-key: a bearer token that names the call, and a body that streams', async () => {
    const { headers, body } = await arrived('bedrock', '/model/a/invoke', { method: 'POST', body: 'x'.repeat(100_000) });
    const key = headers.authorization.replace(/^Bearer bedrock-api-key-/, '');
    assert.match(Buffer.from(key, 'base64').toString(), /^bedrock\.amazonaws\.com\/\?Action=CallWithBearerToken&.*&X-Amz-Signature=[0-9a-f]{64}&Version=1$/);
    assert.equal(body.length, 100_000);
  });

  /** The signature of the request that arrived, computed from it. */
  function signature({ method, url, headers, body }) {
    const hmac = (key, text) => createHmac('sha256', key).update(text).digest();
    const sha256 = (text) => createHash('sha256').update(text).digest('hex');
    const [, scope, names] = /^AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE\/(\S+), SignedHeaders=(\S+), Signature=[0-9a-f]{64}$/.exec(headers.authorization);
    const encoded = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
    const [path, query = ''] = url.split('?');
    const pairs = [...new URLSearchParams(query)].map(([name, value]) => `${encoded(name)}=${encoded(value)}`).sort();
    const canonical = [
      method, path.split('/').map(encoded).join('/'), pairs.join('&'),
      ...names.split(';').map((name) => `${name}:${headers[name].trim().replace(/ +/g, ' ')}`), '', names, sha256(Buffer.from(body, 'latin1')),
    ].join('\n');
    assert.equal(headers['x-amz-content-sha256'], sha256(Buffer.from(body, 'latin1')));
    const toSign = ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, sha256(canonical)].join('\n');
    const key = scope.split('/').reduce(hmac, `AWS4${SECRET_ACCESS_KEY}`);
    return hmac(key, toSign).toString('hex');
  }

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
      const [, signed] = /Signature=([0-9a-f]+)$/.exec(got.headers.authorization);
      assert.equal(signature(got), signed);
      assert.equal(got.headers['x-amz-security-token'], 'session/canary+==');
      assert.ok(Math.abs(Date.parse(got.headers['x-amz-date'].replace(/(....)(..)(..)T(..)(..)(..)Z/, '$1-$2-$3T$4:$5:$6Z')) - Date.now()) < 60_000);
      if (typeof init.body === 'string') assert.equal(got.body, init.body);
      assert.match(got.headers.authorization, /SignedHeaders=(content-type;)?host;/);
      assert.equal(exchanges.filter(({ host }) => host.startsWith('sts.eu')).length <= 2, true, 'once for each upstream');
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
      const authorization = `Bearer ${await world.token('aws')}`;
      const request = httpRequest(`${world.url}/proxy/aws/a`, { method: 'POST', headers: { authorization, 'content-length': 20_000_000 } });
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

  test("anthropic: the provider's own client works as it is", async () => {
    const client = new Anthropic({ baseURL: `${world.url}/proxy/anthropic`, apiKey: await world.token('anthropic'), maxRetries: 0 });
    const message = await client.messages.create({ model: 'm', max_tokens: 1, messages: [{ role: 'user', content: 'hi' }] });
    assert.equal(message.content[0].text, 'hello');
    const { headers } = api.seen.at(-1);
    assert.equal(headers['x-api-key'], undefined);
    assert.equal(headers['anthropic-beta'], 'oauth-2025-04-20');
  });

  test('no secret is in a log', () => {
    const logs = JSON.stringify(world.logs);
    const secrets = [...Object.values(TOKENS), SECRET_ACCESS_KEY, 'session/canary', ...exchanges.map(({ assertion }) => assertion), ...world.tokens];
    for (const secret of secrets) assert.ok(!logs.includes(secret), secret.slice(0, 12));
  });
});
