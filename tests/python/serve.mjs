// The built Worker on loopback, with GitHub and an issuer behind it, for tests that are not JavaScript. Every line of
// the standard input is a request `{ask, ...}` in JSON, every line of the output its answer. At the end of the input
// everything that `World.stop` asserts is asserted: no secret in a log, no request that GitHub would have refused.

import { generateKeyPairSync } from 'node:crypto';
import { createInterface } from 'node:readline';

import { DOMAIN } from '../e2e/support/worker.mjs';
import { ACTIONS, DEPLOY_POLICY, policyPath, World } from '../e2e/support/world.mjs';

const newKey = () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
const KEYS = { old: newKey(), new: newKey() };

const rules = { allow: [{ issuer: ACTIONS, subject: 'repo:acme/app:ref:refs/heads/main' }], requests_per_second: 100, max_requests: 10_000 };
const UPSTREAMS = {
  models: { url: 'https://models.example.com', credential: { secret: { name: 'MODELS_KEY', header: 'x-api-key' } }, ...rules },
  partner: { url: 'https://partner.example.com', credential: { assertion: { audience: 'https://partner.example.com' } }, ...rules },
};

const world = await World.start({
  proxyBudgets: 'ProxyBudget',
  vars: { ISSUER_PRIVATE_KEY: KEYS.old, UPSTREAMS: JSON.stringify(UPSTREAMS), MODELS_KEY: 'sk-models-canary-0123456789' },
});
for (const pem of Object.values(KEYS)) world.canary(pem.split('\n')[1]);
await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
world.internet.host('models.example.com', (_, outgoing) => outgoing.end('a model'));
/** What arrived at the partner, whom it is for. */
let assertion;
world.internet.host('partner.example.com', (_, outgoing, record) => {
  [, assertion] = record.headers.authorization.split(' ');
  delete record.headers.authorization;
  outgoing.end('welcome');
});

const answers = {
  /** Settings are `{ISSUER_PRIVATE_KEY: 'old', ...}`; those that are absent are not set. */
  async keys({ settings }) {
    const names = ['ISSUER_PRIVATE_KEY', 'ISSUER_PRIVATE_KEY_NEXT', 'ISSUER_PRIVATE_KEY_PREVIOUS'];
    await world.worker.newIsolate(Object.fromEntries(names.map((name) => [name, KEYS[settings[name]] ?? ''])));
    return { url: await world.worker.address() };
  },
  async token({ claims }) {
    return { token: await world.jobToken(claims) };
  },
  /** What the Worker signs for a partner. */
  async assertion() {
    const token = await world.jobToken({ aud: `https://${DOMAIN}/proxy/partner`, repository_id: undefined });
    const answer = await world.worker.request('/proxy/partner/', { headers: { authorization: `Bearer ${token}` } });
    if (answer.status !== 200) throw new Error(await answer.text());
    return { assertion };
  },
};

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

say({ url: await world.worker.address(), issuer: `https://${DOMAIN}` });
try {
  for await (const line of createInterface({ input: process.stdin })) {
    const { ask, ...rest } = JSON.parse(line);
    say(await answers[ask](rest));
  }
} finally {
  await world.stop();
}
process.exit(0);
