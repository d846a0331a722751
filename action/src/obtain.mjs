// The step: get the job's OIDC token, exchange it, set the outputs. The order makes sure that no token is lost: it is masked, then saved
// for the end of the job, and only then passed on.

import { configureGit } from './git.mjs';
import { readInputs } from './inputs.mjs';
import { Refusal } from './refusal.mjs';
import { ask, objectOf, patiently } from './requests.mjs';
import { revoke } from './end.mjs';

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';

export async function obtain(runner) {
  runner.save('phase', 'end');
  const inputs = readInputs(runner);
  const { service, upstream } = inputs;
  let claims;
  const answer = await patiently(async () => {
    // A new token for each try: the last one may be used up, or expire while we wait.
    const oidc = await jobToken(runner, inputs.audience);
    claims = claimsOf(oidc);
    return ask(`the service at \`${service.domain}\``, ...request(inputs, oidc));
  }, runner);
  const body = objectOf(answer.text);
  const token = body?.access_token ?? body?.token;
  if (answer.status !== 200 || typeof token !== 'string') throw new Refusal(inputs, answer, body, claims);
  // Anything else could be a command to the runner, or a second line in the outputs.
  if (!/^[\x21-\x7e]+$/.test(token)) throw new Error('the service answered with something that is not a token');

  runner.mask(token);
  const baseUrl = upstream === undefined ? inputs.github.api : `${service.url}/proxy/${upstream}`;
  const held = { token, service: service.url, api: upstream === undefined ? inputs.github.api : '' };
  runner.save('held', JSON.stringify(held));
  await refuseWider(inputs, body, held, runner);
  if (inputs.configureGit) await configureGit(runner, inputs, body.repositories, token);

  const expiresAt = expiry(body);
  runner.output('token', token);
  runner.output('expires-at', expiresAt);
  runner.output('base-url', baseUrl);
  if (upstream === undefined) runner.output('permissions', JSON.stringify(body.permissions ?? {}));
  runner.info(`${told(inputs, body)}${expiresAt ? `, until ${expiresAt}` : ''}`);
}

/** The request to the service, as arguments of `fetch`. */
function request({ service, scope, identity, permissions, repositories, upstream }, oidc) {
  if (upstream !== undefined) {
    const resource = `https://${service.domain}/proxy/${upstream}`;
    const body = new URLSearchParams({ grant_type: TOKEN_EXCHANGE, subject_token: oidc, subject_token_type: ID_TOKEN, resource });
    return [`${service.url}/sts/token`, { method: 'POST', body }];
  }
  const authorization = `Bearer ${oidc}`;
  if (permissions === undefined && repositories === undefined) {
    const query = new URLSearchParams({ scope, scopes: scope, identity });
    return [`${service.url}/sts/exchange?${query}`, { headers: { authorization } }];
  }
  const body = JSON.stringify({ scope, identity, permissions, repositories });
  return [`${service.url}/sts/exchange`, { method: 'POST', headers: { authorization, 'content-type': 'application/json' }, body }];
}

/** https://docs.github.com/en/actions/reference/security/oidc */
async function jobToken(runner, audience) {
  const [url, credential] = [runner.variable('ACTIONS_ID_TOKEN_REQUEST_URL'), runner.variable('ACTIONS_ID_TOKEN_REQUEST_TOKEN')];
  if (!url || !credential) {
    throw new Error('the job may not request an OIDC token: set `permissions: id-token: write` for it (pull requests from forks never get one)');
  }
  const address = new URL(url);
  address.searchParams.set('audience', audience);
  const headers = { authorization: `Bearer ${credential}`, accept: 'application/json' };
  const answer = await patiently(() => ask('the runner\'s token service', address, { headers }), runner);
  const token = objectOf(answer.text)?.value;
  if (answer.status !== 200 || typeof token !== 'string' || !/^[\w.-]+$/.test(token)) {
    throw new Error(`the runner's token service gave no OIDC token: it answered with ${answer.status}`);
  }
  runner.mask(token);
  return token;
}

/** For people to read, never for decisions: nothing is verified here. */
function claimsOf(token) {
  return objectOf(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) ?? {};
}

/** A service that does not support narrowing grants everything. Nobody gets more than they asked for. */
async function refuseWider({ permissions, repositories }, body, held, runner) {
  const LEVELS = ['read', 'write', 'admin'];
  const wider = [];
  if (permissions !== undefined) {
    const asked = { metadata: 'read', ...permissions };
    for (const [name, level] of Object.entries(body.permissions ?? { 'everything': '' })) {
      if (LEVELS.indexOf(level) === -1 || LEVELS.indexOf(level) > LEVELS.indexOf(asked[name])) wider.push(`${name}: ${level}`);
    }
  }
  if (repositories !== undefined) {
    const asked = new Set(repositories.map((name) => name.toLowerCase()));
    for (const name of Array.isArray(body.repositories) ? body.repositories : ['every repository']) {
      if (!asked.has(String(name).toLowerCase())) wider.push(String(name));
    }
  }
  if (wider.length === 0) return;
  try {
    runner.info(await revoke(held, runner));
    runner.save('held', '');
  } catch (error) {
    runner.warning(`the token was not revoked yet: ${error.message}`); // the end of the job tries again
  }
  throw new Error(`the service granted more than was requested (${wider.join(', ')}), so the step does not pass the token on; does this service support \`permissions\` and \`repositories\`?`);
}

function expiry({ expires_at: at, expires_in: seconds }) {
  if (typeof at === 'string' && /^[0-9TZ:.+-]+$/.test(at)) return at;
  if (typeof seconds !== 'number' || !(seconds >= 0 && seconds < 1e9)) return '';
  return new Date(Date.now() + seconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
}

function told({ scope, identity, upstream }, body) {
  if (upstream !== undefined) return `a session for the upstream \`${upstream}\``;
  const permissions = Object.entries(body.permissions ?? {}).map(([name, level]) => `${name}: ${level}`).join(', ');
  return `a token for ${scope} by the policy \`${identity}\`${permissions ? ` (${permissions})` : ''}`;
}
