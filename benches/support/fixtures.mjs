// The world of the bench: one issuer, one App, one organization, and the requests to the service. Everything is
// generated when the bench runs; nothing here is a real secret.

import { createHmac, createSign, generateKeyPairSync, randomUUID } from 'node:crypto';

export const DOMAIN = 'sts.example.com';
export const ISSUER = 'https://token.actions.githubusercontent.com';
export const INSTALLATION = 1001;
const SECRET = 'the secret of the bench';
const KEY_ID = 'bench';

const { privateKey: issuerKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const { privateKey: otherKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const { privateKey: appKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

/** The issuer's key, as its key set has it. */
export const JWK = { ...publicKey.export({ format: 'jwk' }), kid: KEY_ID, alg: 'RS256', use: 'sig' };

/** The settings of the service, and the key of the floor. */
export const SETTINGS = {
  DOMAIN,
  GITHUB_APP_ID: '4711',
  GITHUB_APP_PRIVATE_KEY: appKey.export({ type: 'pkcs1', format: 'pem' }),
  GITHUB_WEBHOOK_SECRET: SECRET,
  JWK: JSON.stringify(JWK),
};

/** A typical policy: exact issuer, a subject, three claims. */
export const POLICY = `issuer: ${ISSUER}
subject: repo:acme/app:ref:refs/heads/main
claim_pattern:
  event_name: push
  job_workflow_ref: acme/app/\\.github/workflows/deploy\\.yaml@refs/heads/.+
  repository_owner_id: "99"
permissions:
  contents: read
  issues: write
`;

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token of a GitHub Actions job, with all its claims. */
export function token(claims = {}, { key = issuerKey, kid = KEY_ID } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const payload = {
    jti: randomUUID(),
    iss: ISSUER,
    aud: DOMAIN,
    sub: 'repo:acme/app:ref:refs/heads/main',
    iat: now - 10,
    nbf: now - 310,
    exp: now + 3600,
    actor: 'octocat',
    actor_id: '583231',
    base_ref: '',
    event_name: 'push',
    head_ref: '',
    job_workflow_ref: 'acme/app/.github/workflows/deploy.yaml@refs/heads/main',
    job_workflow_sha: '6113728f27ae82c7b1a177c8d03f9e96e0adf246',
    ref: 'refs/heads/main',
    ref_protected: 'true',
    ref_type: 'branch',
    repository: 'acme/app',
    repository_id: '4242',
    repository_owner: 'acme',
    repository_owner_id: '99',
    repository_visibility: 'private',
    run_attempt: '1',
    run_id: '11111111111',
    run_number: '1234',
    runner_environment: 'github-hosted',
    sha: '6113728f27ae82c7b1a177c8d03f9e96e0adf246',
    workflow: 'deploy',
    workflow_ref: 'acme/app/.github/workflows/deploy.yaml@refs/heads/main',
    workflow_sha: '6113728f27ae82c7b1a177c8d03f9e96e0adf246',
    ...claims,
  };
  const input = `${encoded({ typ: 'JWT', alg: 'RS256', kid })}.${encoded(payload)}`;
  return `${input}.${createSign('RSA-SHA256').update(input).sign(key, 'base64url')}`;
}

/** The headers of a request through Cloudflare. */
export const ARRIVING = {
  host: DOMAIN,
  accept: '*/*',
  'accept-encoding': 'gzip, br',
  'accept-language': '*',
  'cdn-loop': 'cloudflare; loops=1',
  'cf-connecting-ip': '192.0.2.17',
  'cf-ipcountry': 'US',
  'cf-ray': '9a1b2c3d4e5f6071-IAD',
  'cf-visitor': '{"scheme":"https"}',
  'user-agent': 'octo-sts/action',
  'x-forwarded-for': '192.0.2.17',
  'x-forwarded-proto': 'https',
  'x-real-ip': '192.0.2.17',
};

/** An exchange. `credential` is a token; `null` sends none. */
export function exchange({ scope = 'acme/app', identity = 'deploy', credential = token() } = {}) {
  const authorization = credential === null ? {} : { authorization: `Bearer ${credential}` };
  const path = `/sts/exchange?${new URLSearchParams({ scope, identity })}`;
  return { method: 'GET', path, headers: { ...ARRIVING, ...authorization } };
}

/** A request that the route table answers at once. */
export const health = { method: 'GET', path: '/healthz', headers: ARRIVING };

/** A refusal for each step of the exchange, in the protocol's order, and what it must be answered. */
export function refusals() {
  const past = Math.floor(Date.now() / 1000) - 7200;
  return [
    ['parameters', exchange({ scope: 'acme//app' }), 400],
    ['no authorization', exchange({ credential: null }), 401],
    ['shape', exchange({ credential: `${token()}=` }), 401],
    ['issuer', exchange({ credential: token({ iss: 'https://localhost' }) }), 401],
    ['expired', exchange({ credential: token({ exp: past, iat: past - 60, nbf: past - 60 }) }), 401],
    ['signature', exchange({ credential: token({}, { key: otherKey }) }), 401],
    ['claims', exchange({ credential: token({ nbf: past + 14_400 }) }), 401],
    ['installation absent', exchange({ scope: 'nobody/app' }), 404],
    ['policy denied', exchange({ credential: token({ sub: 'repo:acme/app:pull_request' }) }), 403],
  ];
}

/** A push to a branch other than the default one, with this many changed policies. */
export function push(policies) {
  const sha = '6113728f27ae82c7b1a177c8d03f9e96e0adf246';
  const modified = Array.from({ length: policies }, (_, index) => `.github/chainguard/p${index}.sts.yaml`);
  const account = { login: 'acme', id: 99, type: 'Organization' };
  const body = JSON.stringify({
    ref: 'refs/heads/topic',
    before: '95b966ae1c166bd92f8ae7d1c313e738c731dfc3',
    after: sha,
    created: false,
    deleted: false,
    forced: false,
    compare: 'https://github.com/acme/app/compare/95b966ae1c16...6113728f27ae',
    commits: [{ id: sha, message: 'change policies', added: [], modified, removed: [] }],
    head_commit: { id: sha, message: 'change policies', added: [], modified, removed: [] },
    repository: { id: 4242, name: 'app', full_name: 'acme/app', owner: account, default_branch: 'main' },
    installation: { id: INSTALLATION },
    sender: { login: 'octocat', id: 583231, type: 'User' },
  });
  return {
    method: 'POST',
    path: '/webhook',
    headers: {
      ...ARRIVING,
      'content-type': 'application/json',
      'user-agent': 'GitHub-Hookshot/bench',
      'x-github-event': 'push',
      'x-hub-signature-256': `sha256=${createHmac('sha256', SECRET).update(body).digest('hex')}`,
      // The load generator gives each delivery its own id, because a repeated one would not be handled again.
      'x-github-delivery': '{unique}',
    },
    body,
  };
}
