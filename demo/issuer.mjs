// The chapter on the service as an issuer: an OAuth library as its client, and a verifier that does not notice when the
// signing key is changed. Both are from npm, and know the service by its metadata alone.

import { generateKeyPairSync } from 'node:crypto';

import { createRemoteJWKSet, customFetch, decodeProtectedHeader, jwtVerify } from 'jose';
import * as oauth from 'oauth4webapi';

import { actionsClaims } from '../tests/e2e/support/issuers.mjs';
import { answer, claim, expect, good, note, source, step } from './terminal.mjs';

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';
const TRIAGE_PATH = '.github/chainguard/triage.sts.yaml';
const HOUR_MS = 3_600_000;

export const newSigningKey = () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });

/** Policies may grant more than a job needs; a client can ask for less and gets less. */
export async function anOAuthLibraryAsksForLess(world) {
  step('An OAuth library knows the service’s metadata alone, and gets less than the policy grants');
  const policy = `issuer: ${world.issuer.url}
subject: repo:acme/app:ref:refs/heads/main
permissions:
  contents: read
  issues: write
`;
  source(`acme/app, default branch: ${TRIAGE_PATH}`, policy);
  await world.github.commit('acme/app', TRIAGE_PATH, policy);
  const server = await discovered(world);
  note('oauth4webapi reads /.well-known/oauth-authorization-server:');
  claim('token_endpoint', server.token_endpoint);
  const parameters = { resource: `http://${world.githubNet.address}/acme/app`, scope: 'triage contents:read' };
  for (const [name, value] of Object.entries(parameters)) claim(name, value);
  const subject_token = await world.issuer.token(actionsClaims());
  const body = await exchanged(world, server, { subject_token, subject_token_type: ID_TOKEN, ...parameters });
  answer(200, body);
  expect('the library takes the answer for what RFC 8693 says', body.token_type === 'bearer' && body.scope === 'triage contents:read');
  const minted = (await world.github.ledger()).at(-1);
  expect('GitHub minted contents: read alone', JSON.stringify(minted.permissions) === '{"contents":"read"}');
}

export async function theKeyIsRotated(world) {
  step('The service signs for itself, and its key is changed while a verifier is running');
  const server = await discovered(world);
  const resource = `${server.issuer}/proxy/anthropic`;
  // Like relying parties, this caches the key set, and does not fetch it again before it expires.
  const patient = verifier(world, server.issuer, resource);
  const old = world.settings.ISSUER_PRIVATE_KEY;
  const next = newSigningKey();
  world.secrets.push(...[old, next].map((pem) => pem.split('\n')[1]));

  note('before: a session token of the proxy, signed with the old key');
  const first = await session(world, server, resource);
  expect('the verifier (jose) knows the key from the published set', await patient(first));

  note('ISSUER_PRIVATE_KEY_NEXT: the new key is published, and signs nothing yet');
  await world.worker.redeploy({ ...world.settings, ISSUER_PRIVATE_KEY_NEXT: next });
  const cached = verifier(world, server.issuer, resource);
  const second = await session(world, server, resource);
  expect('the old key still signs', kidOf(second) === kidOf(first) && (await cached(second)));

  note('ISSUER_PRIVATE_KEY: the new key signs; ISSUER_PRIVATE_KEY_PREVIOUS: the old one is still published');
  world.settings = { ...world.settings, ISSUER_PRIVATE_KEY: next, ISSUER_PRIVATE_KEY_PREVIOUS: old };
  await world.worker.redeploy(world.settings);
  const third = await session(world, server, resource);
  expect('now the new key signs', kidOf(third) !== kidOf(first));
  expect('whoever fetched the key set before the change, and not since, verifies it', await cached(third));
  expect('and whoever fetches it now still verifies the old session', await verifier(world, server.issuer, resource)(first));
  good('no token was refused at any step, and nobody was asked to do anything');
}

const kidOf = (token) => decodeProtectedHeader(token).kid;

/** A relying party with its own cached key set. */
function verifier(world, issuer, audience) {
  const options = { cooldownDuration: HOUR_MS, cacheMaxAge: HOUR_MS, [customFetch]: world.reach };
  const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`), options);
  return async (token) => {
    try {
      const { protectedHeader } = await jwtVerify(token, keys, { issuer, audience, algorithms: ['RS256'], typ: 'octo-sts-session+jwt' });
      claim('verified, kid', protectedHeader.kid);
      return true;
    } catch (error) {
      claim('refused', error.message);
      return false;
    }
  };
}

async function session(world, server, resource) {
  const subject_token = await world.issuer.token(actionsClaims({ aud: resource }));
  const { access_token: token } = await exchanged(world, server, { subject_token, subject_token_type: ID_TOKEN, resource });
  world.secrets.push(token);
  return token;
}

async function discovered({ domain, reach }) {
  const issuer = new URL(`https://${domain}`);
  return oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', [oauth.customFetch]: reach }));
}

async function exchanged({ reach }, server, parameters) {
  const client = { client_id: 'unused' };
  const response = await oauth.genericTokenEndpointRequest(server, client, oauth.None(), TOKEN_EXCHANGE, new URLSearchParams(parameters), { [oauth.customFetch]: reach });
  return oauth.processGenericTokenEndpointResponse(server, client, response);
}
