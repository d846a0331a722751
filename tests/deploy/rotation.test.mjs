// Every row of the table of rotations in docs/operating.md, rehearsed step by step: what worked before works at each step,
// what is to end has ended afterwards, and the sign by which one sees that it is done is there.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { ACTIONS, DEPLOY_POLICY, policyPath, World } from '../e2e/support/world.mjs';
import { DOMAIN } from '../e2e/support/worker.mjs';
import { Place, ROOT, SECRETS } from './tree.mjs';

const newKey = () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
const [FIRST_KEY, SECOND_KEY] = [newKey(), newKey()];
const [FIRST_SECRET, SECOND_SECRET] = ['sk-models-canary-0123456789', 'sk-models-canary-9876543210'];
const UPSTREAMS = JSON.stringify({
  models: {
    url: 'https://models.example.com',
    credential: { secret: { name: 'MODELS_KEY', header: 'x-api-key' } },
    allow: [{ issuer: ACTIONS, subject: 'repo:acme/app:ref:refs/heads/main' }],
    requests_per_second: 10,
  },
});

let world;
let upstreamTakes = new Set([FIRST_SECRET]);

before(async () => {
  world = await World.start({ proxyBudgets: 'ProxyBudget', vars: { ISSUER_PRIVATE_KEY: FIRST_KEY, UPSTREAMS, MODELS_KEY: FIRST_SECRET } });
  for (const pem of [FIRST_KEY, SECOND_KEY]) world.canary(pem.split('\n')[1]);
  world.internet.host('models.example.com', (incoming, outgoing) => {
    outgoing.writeHead(upstreamTakes.has(incoming.headers['x-api-key']) ? 200 : 401).end('a model');
  });
  await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
});
after(() => world?.stop());

/** One deployment of secrets. */
const set = (secrets) => world.worker.newIsolate(secrets);
const calls = async () => {
  const token = await world.jobToken({ aud: `https://${DOMAIN}/proxy/models`, run_id: '7', run_attempt: '1' });
  const answer = await world.worker.request('/proxy/models/v1', { headers: { authorization: `Bearer ${token}` } });
  return { status: answer.status, text: await answer.text() };
};
const published = async () => (await (await world.worker.request('/.well-known/jwks.json')).json()).keys.map(({ kid }) => kid);

const REHEARSALS = {
  'the App\'s private key': async () => {
    const old = world.github.privateKey;
    const fresh = world.github.generatePrivateKey();
    world.canary(fresh.split('\n')[1]);
    for (const step of [{ GITHUB_APP_PRIVATE_KEY_PREVIOUS: old }, { GITHUB_APP_PRIVATE_KEY: fresh }]) {
      await set(step);
      await world.exchanged();
    }
    world.github.deletePrivateKey(old);
    await world.exchanged();
    await set({ GITHUB_APP_PRIVATE_KEY_PREVIOUS: '' });
    await world.exchanged();
    assert.ok(!world.worker.lines().some(({ message }) => message === 'github accepts a different private key of the app'));
    assert.deepEqual(world.github.violations, [], 'no key was sent that GitHub refuses');
  },

  'the webhook\'s secret': async () => {
    const [old, fresh] = [world.webhookSecret, 'the secret from now on'];
    world.canary(fresh);
    const delivered = async (secret) => (await world.deliver('ping', { zen: 'x' }, { secret })).status;
    await set({ GITHUB_WEBHOOK_SECRET_PREVIOUS: old });
    assert.equal(await delivered(old), 202);
    await set({ GITHUB_WEBHOOK_SECRET: fresh });
    assert.deepEqual([await delivered(old), await delivered(fresh)], [202, 202], 'GitHub may sign with either');
    await set({ GITHUB_WEBHOOK_SECRET_PREVIOUS: '' });
    assert.deepEqual([await delivered(old), await delivered(fresh)], [401, 202]);
  },

  'the service\'s own signing key': async () => {
    const [first] = await published();
    await set({ ISSUER_PRIVATE_KEY_NEXT: SECOND_KEY });
    const both = await published();
    assert.equal(both.length, 2, 'published before it signs');
    const second = both.find((kid) => kid !== first);
    for (const step of [{ ISSUER_PRIVATE_KEY_PREVIOUS: FIRST_KEY }, { ISSUER_PRIVATE_KEY: SECOND_KEY }, { ISSUER_PRIVATE_KEY_NEXT: '' }]) {
      await set(step);
      assert.deepEqual((await published()).sort(), [first, second].sort(), 'published after it signed');
    }
    await set({ ISSUER_PRIVATE_KEY_PREVIOUS: '' });
    assert.deepEqual(await published(), [second], 'the key set has one key');
  },

  'an upstream\'s secret': async () => {
    assert.deepEqual(await calls(), { status: 200, text: 'a model' });
    upstreamTakes = new Set([FIRST_SECRET, SECOND_SECRET]);
    await set({ MODELS_KEY: SECOND_SECRET });
    assert.equal((await calls()).status, 200);
    upstreamTakes = new Set([SECOND_SECRET]);
    assert.equal((await calls()).status, 200);
  },

  'an issuer\'s keys': async () => {
    const keySets = () => world.internet.requests.filter(({ host, path }) => host === new URL(ACTIONS).host && /jwks/.test(path)).length;
    await world.exchanged();
    await world.actions.addKey('RS256', 'the next key');
    const asked = keySets();
    for (let times = 0; times < 3; times += 1) await world.exchanged({ token: await world.jobToken({}, { kid: 'the next key' }) });
    assert.equal(keySets(), asked + 1, 'the unknown key made the service look again, once');
    await world.exchanged();
  },

  'the Cloudflare API token of CI': async () => {
    const place = await Place.start();
    try {
      place.commit();
      const worker = place.cloudflare.worker('octo-sts', { secrets: SECRETS, migrationTag: 'v2' });
      place.cloudflare.apiTokens.add('the second token');
      assert.equal((await place.deploy({ CLOUDFLARE_API_TOKEN: 'the second token' })).code, 0);
      assert.equal(worker.deployments.length, 2);
      place.cloudflare.apiTokens.delete('an-api-token');
      const { code, log } = await place.deploy();
      assert.deepEqual([code, worker.deployments.length], [1, 2], 'the first token has ended');
      assert.match(log, /cannot be listed/);
    } finally {
      await place.stop();
    }
  },
};

describe('rotation', () => {
  const [, section] = readFileSync(`${ROOT}docs/operating.md`, 'utf8').split('\n## Rotation\n');
  const [table] = section.trim().split('\n\n');
  const rows = table.split('\n').slice(2).map((row) => row.split('|')[1].trim());

  test('the table and the rehearsals name the same', () => {
    assert.deepEqual(rows, Object.keys(REHEARSALS));
  });

  for (const [what, rehearse] of Object.entries(REHEARSALS)) test(what, rehearse);
});
