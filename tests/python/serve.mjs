// The built Worker on loopback, with GitHub and an issuer behind it, for tests that are not JavaScript. Every line of
// the standard input is a request `{ask, ...}` in JSON, every line of the output its answer. At the end of the input
// everything that `World.stop` asserts is asserted: no secret in a log, no request that GitHub would have refused.

import { generateKeyPairSync } from 'node:crypto';
import { request } from 'node:http';
import { createInterface } from 'node:readline';

import { answering, COMPLETIONS, MESSAGES } from '../e2e/support/models.mjs';
import { DOMAIN } from '../e2e/support/worker.mjs';
import { ACTIONS, DEPLOY_POLICY, policyPath, World } from '../e2e/support/world.mjs';

const newKey = () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });
const KEYS = { old: newKey(), new: newKey() };

const rules = { allow: [{ issuer: ACTIONS, subject: 'repo:acme/app:ref:refs/heads/main' }], requests_per_second: 100, max_requests: 10_000 };
const REGION = 'eu-central-1';
const aws = (service, members) => ({ credential: { aws: { role_arn: 'arn:aws:iam::123456789012:role/sts-bedrock', region: REGION, service, ...members } }, ...rules });
const UPSTREAMS = {
  bedrock: { url: `https://bedrock-runtime.${REGION}.amazonaws.com`, ...aws('bedrock') },
  'bedrock-key': { url: `https://bedrock-runtime.${REGION}.amazonaws.com`, ...aws('bedrock', { sign: 'bedrock-key' }) },
  whoami: { url: `https://sts.${REGION}.amazonaws.com`, ...aws('sts', { identity: 'caller-subject' }) },
  models: { url: 'https://models.example.com', credential: { secret: { name: 'MODELS_KEY', header: 'x-api-key' } }, ...rules },
  httpbin: { url: 'https://httpbin.example.com', credential: { secret: { name: 'HTTPBIN_KEY', header: 'x-key' } }, ...rules },
  partner: { url: 'https://partner.example.com', credential: { assertion: { audience: 'https://partner.example.com' } }, ...rules },
};

const MODELS_KEY = 'sk-models-canary-0123456789';

const world = await World.start({
  proxyBudgets: 'ProxyBudget',
  vars: { ISSUER_PRIVATE_KEY: KEYS.old, UPSTREAMS: JSON.stringify(UPSTREAMS), MODELS_KEY, HTTPBIN_KEY: 'httpbin-canary-0123456789' },
});
for (const pem of Object.values(KEYS)) world.canary(pem.split('\n')[1]);
await world.github.commit('acme/app', policyPath('deploy'), DEPLOY_POLICY);
/** Lets the second half of a stream go, see `release`. */
let release;
const held = () => new Promise((resolve) => (release = resolve));
const models = { '/v1/messages': answering(MESSAGES, held), '/v1/chat/completions': answering(COMPLETIONS, held) };
world.internet.host('models.example.com', (incoming, outgoing, record) => {
  // The key is the API's, and nothing else that the caller sent is a credential.
  if (record.headers['x-api-key'] !== MODELS_KEY || record.headers.authorization !== undefined) return outgoing.writeHead(401).end();
  delete record.headers['x-api-key'];
  return (models[incoming.url] ?? ((_, other) => other.end('a model')))(incoming, outgoing);
});
/** Where the tests have httpbin. */
let httpbin;
world.internet.host('httpbin.example.com', (incoming, outgoing, record) => {
  const { method, url: path, headers } = incoming;
  delete record.headers['x-key'];
  const there = request({ host: '127.0.0.1', port: httpbin, method, path, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.rawHeaders);
    answer.pipe(outgoing);
  });
  incoming.pipe(there);
});
/** What arrived at the partner, whom it is for. */
let assertion;
world.internet.host('partner.example.com', (_, outgoing, record) => {
  [, assertion] = record.headers.authorization.split(' ');
  delete record.headers.authorization;
  outgoing.end('welcome');
});

/** Hands a request on to a server of the test's, on loopback. */
const leadTo = (port) => (incoming, outgoing, record) => {
  const { method, url: path, headers } = incoming;
  // It is for this host alone, and the server there looks at it.
  delete record.headers.authorization;
  const there = request({ host: '127.0.0.1', port, method, path, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    answer.pipe(outgoing);
  });
  there.on('error', () => incoming.socket.destroy());
  incoming.pipe(there);
};

const answers = {
  /** From now on a server on this machine answers for a host. */
  async lead({ host, port }) {
    world.internet.host(host, leadTo(port));
    return {};
  },
  /** From now on this text must not be seen in a log or in KV. */
  async hide({ text }) {
    world.canary(text);
    return {};
  },
  /** Settings are `{ISSUER_PRIVATE_KEY: 'old', ...}`; those that are absent are not set. */
  async keys({ settings }) {
    const names = ['ISSUER_PRIVATE_KEY', 'ISSUER_PRIVATE_KEY_NEXT', 'ISSUER_PRIVATE_KEY_PREVIOUS'];
    await world.worker.newIsolate(Object.fromEntries(names.map((name) => [name, KEYS[settings[name]] ?? ''])));
    return { url: await world.worker.address() };
  },
  async token({ claims }) {
    return { token: await world.jobToken(claims) };
  },
  async httpbin({ port }) {
    httpbin = port;
    return {};
  },
  async release() {
    await released();
    return {};
  },
  /** What the Worker signs for a partner. */
  async assertion() {
    const token = await world.jobToken({ aud: `https://${DOMAIN}/proxy/partner`, repository_id: undefined });
    const answer = await world.worker.request('/proxy/partner/', { headers: { authorization: `Bearer ${token}` } });
    if (answer.status !== 200) throw new Error(await answer.text());
    return { assertion };
  },
};

/** Waits until a stream is held and lets it go on. */
async function released() {
  while (release === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
  release();
  release = undefined;
}

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
