// The service as an issuer, for relying parties and OAuth clients that are not ours: `jose` and `oauth4webapi`. (The
// same from Python is in tests/python.)

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { createRemoteJWKSet, customFetch as joseFetch, decodeProtectedHeader, jwtVerify } from 'jose';
import * as oauth from 'oauth4webapi';

import { DOMAIN } from './support/worker.mjs';
import { ACTIONS, DEPLOY_POLICY, policyPath, World } from './support/world.mjs';

const ISSUER = `https://${DOMAIN}`;
const UPSTREAMS = JSON.stringify({
  models: {
    url: 'https://models.example.com',
    credential: { secret: { name: 'MODELS_KEY' } },
    allow: [{ issuer: ACTIONS, subject_pattern: 'repo:acme/app:.*' }],
  },
});

const newKey = () =>
  generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } })
    .privateKey;

const OLD = newKey();
const NEW = newKey();

describe('the service as an issuer', () => {
  let world;
  let fetches;

  /** For libraries: a `fetch` that reaches the Worker. */
  const reach = (url, init) => {
    fetches += 1;
    const { pathname, search } = new URL(url);
    return world.worker.request(pathname + search, init);
  };

  before(async () => {
    world = await World.start({
      proxyBudgets: 'ProxyBudget',
      vars: { ISSUER_PRIVATE_KEY: OLD, UPSTREAMS, MODELS_KEY: 'sk-models-canary-0123456789' },
    });
    for (const pem of [OLD, NEW]) world.canary(pem.split('\n')[1]);
    await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
    fetches = 0;
  });
  after(() => world?.stop());

  async function session() {
    const server = await discovered();
    const parameters = {
      subject_token: await world.jobToken({ aud: `${ISSUER}/proxy/models` }),
      subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
      resource: `${ISSUER}/proxy/models`,
    };
    const answer = await exchanged(server, parameters);
    assert.equal(answer.issued_token_type, 'urn:ietf:params:oauth:token-type:jwt');
    return answer.access_token;
  }

  async function discovered() {
    const response = await oauth.discoveryRequest(new URL(ISSUER), { algorithm: 'oauth2', [oauth.customFetch]: reach });
    return oauth.processDiscoveryResponse(new URL(ISSUER), response);
  }

  async function exchanged(server, parameters) {
    const client = { client_id: 'unused' };
    const response = await oauth.genericTokenEndpointRequest(
      server, client, oauth.None(), 'urn:ietf:params:oauth:grant-type:token-exchange', new URLSearchParams(parameters),
      { [oauth.customFetch]: reach },
    );
    return oauth.processGenericTokenEndpointResponse(server, client, response);
  }

  test('an OAuth client that knows the metadata alone gets a narrowed installation token', async () => {
    const server = await discovered();
    assert.equal(server.token_endpoint, `${ISSUER}/sts/token`);
    const answer = await exchanged(server, {
      subject_token: await world.jobToken(),
      subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
      resource: 'https://github.com/acme/app',
      scope: 'deploy contents:read',
    });
    assert.equal(answer.token_type, 'bearer');
    assert.equal(answer.scope, 'deploy contents:read');
    assert.deepEqual(answer.permissions, { contents: 'read' });
  });

  test('an OAuth client understands a refusal', async () => {
    const server = await discovered();
    const refused = exchanged(server, {
      subject_token: 'x',
      subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
      resource: 'https://github.com/acme/app',
      scope: 'deploy',
    });
    await assert.rejects(refused, (error) => error instanceof oauth.ResponseBodyError && error.error === 'invalid_grant');
  });

  test('a relying party that caches the key set verifies through a rotation', async () => {
    const steps = [
      { ISSUER_PRIVATE_KEY: OLD },
      { ISSUER_PRIVATE_KEY: OLD, ISSUER_PRIVATE_KEY_NEXT: NEW },
      { ISSUER_PRIVATE_KEY: OLD, ISSUER_PRIVATE_KEY_NEXT: NEW, ISSUER_PRIVATE_KEY_PREVIOUS: OLD },
      { ISSUER_PRIVATE_KEY: NEW, ISSUER_PRIVATE_KEY_NEXT: NEW, ISSUER_PRIVATE_KEY_PREVIOUS: OLD },
      { ISSUER_PRIVATE_KEY: NEW, ISSUER_PRIVATE_KEY_PREVIOUS: OLD },
      { ISSUER_PRIVATE_KEY: NEW },
    ];
    const keySet = () =>
      createRemoteJWKSet(new URL(`${ISSUER}/.well-known/jwks.json`), {
        cooldownDuration: 3_600_000, cacheMaxAge: 3_600_000, [joseFetch]: reach,
      });
    const options = { issuer: ISSUER, audience: `${ISSUER}/proxy/models`, typ: 'octo-sts-session+jwt', algorithms: ['RS256'] };
    const verifiers = [];
    const signed = new Set();
    let earlier;
    for (const step of steps) {
      await world.worker.newIsolate({ ISSUER_PRIVATE_KEY_NEXT: '', ISSUER_PRIVATE_KEY_PREVIOUS: '', ...step });
      const token = await session();
      signed.add(decodeProtectedHeader(token).kid);
      const own = keySet();
      await jwtVerify(token, own, options);
      // A relying party that fetched the set one step earlier, and does not fetch it again, verifies it too.
      const before = verifiers.at(-1);
      if (before) await jwtVerify(token, before, options);
      // And a token from the previous step verifies with the set of this step, while its key is published.
      if (earlier && step !== steps.at(-1)) await jwtVerify(earlier, own, options);
      verifiers.push(own);
      earlier = token;
    }
    assert.equal(signed.size, 2, 'both keys signed');
  });

  test('an assertion of ours is nobody\'s OIDC token', async () => {
    const token = await session();
    const { status, body } = await world.exchange({ token });
    assert.equal(status, 401);
    assert.equal(body.error, 'invalid_token');
  });
});
